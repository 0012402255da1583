"""Times LIBERO episodes under `vlaeval run` against `lerobot-eval`: same task, same policy, same cores.

    python benchmarks/libero_lerobot.py --horizons 10
    python benchmarks/libero_lerobot.py --horizons 1 --physics exact
    python benchmarks/libero_lerobot.py --task libero_goal/0 --episodes 4
    python benchmarks/libero_lerobot.py --policy smolvla --full --device cuda --workers 16 --episodes 16

writes results/libero_lerobot.json and .md, which docs/libero.md cites; rows of other horizons stay, where all else
is the same. A row takes about five minutes. `lerobot-eval` gets its best
settings: an asynchronous environment for every core, soft resets, 256 px. The policy is a small ACT that
resizes its pictures to 128 px; its weights are random, so that every episode lasts until the time limit of
280 steps; or a random SmolVLA. Both are timed from the first episode's reset to the end of the last, without importing
libraries, which is reported apart. Our clock includes importing the simulator and building the scenes,
which `lerobot-eval` does before its own starts; so ours run ten or two times as many episodes, which takes
them about as long. That is still far fewer than a protocol has for a task. A short run goes before each of
ours: on a machine that has run the suite before, compiled code and scenes are in the cache.

Needs the extras `libero` and `lerobot`, LIBERO's assets, and an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from common.checkpoints import builders
from common.machine import in_words, machine
from common.results import load, save, write_table
from common.script import count, parser, run

from vla_eval.catalog import find_suite
from vla_eval.errors import InfrastructureError, MissingExtraError
from vla_eval.runs.store import read_records
from vla_eval_envs.libero.assets import find_assets

NAME = "libero_lerobot"
SIZE, CHUNK = 256, 10
POLICY_SIZE = 128
"""Size to which the policy's preprocessor resizes the pictures, in both programs."""
OURS = {10: 10, 1: 2}
"""Our episodes for one episode of lerobot-eval, by actions per inference; 4 for other numbers of them."""
PARTS = ("build_s", "reset_s", "advance_s", "observe_s", "infer_s", "wait_s")
"""Parts of our time, by the names of `Timing`."""
PROTOCOL = """
schema_version = 1
protocol = "benchmark"
version = 1
title = "Speed"
source = "This benchmark."
leaves_open = ["Everything but time."]
[[blocks]]
suite = "{suite}"
env_id = "vla_eval_envs:libero/{short}-{{task}}-v0"
tasks = ["{index}"]
init_states = {{ first = 0, count = {episodes} }}
max_steps = {steps}
[blocks.env_kwargs]
image_size = {size}
control_mode = "relative"
settle_steps = 10
rotate_180 = true
axis_angle = "lerobot"
physics = "{physics}"
[run]
env_seeds = [7]
[analysis]
estimand = "none"
margin = 0.5
margin_reason = "No claim is judged here."
"""


def main() -> None:
    """Time both at every execution horizon, and write the tables."""
    chosen = _options()
    if not chosen.table:
        suite, _, index = chosen.task.partition("/")
        find_suite(suite).task(index)
        names = ("task", "steps", "policy", "full", "device", "workers")
        about = {name: getattr(chosen, name) for name in names}
        before = load(NAME, default={"rows": []})
        kept = before["rows"] if about.items() <= before.items() else []
        rows = {row["n_action_steps"]: row for row in kept}
        with tempfile.TemporaryDirectory() as scratch:
            for horizon in chosen.horizons:
                rows[horizon] = measure(Path(scratch), chosen, horizon)
                ordered = [rows[number] for number in sorted(rows, reverse=True)]
                save(NAME, {"machine": machine(), **about, "rows": ordered})
    write_table(NAME, markdown)


def _options() -> argparse.Namespace:
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--task", default="libero_spatial/0", metavar="SUITE/TASK")
    arguments.add_argument("--episodes", type=count, default=2, help="of lerobot-eval")
    arguments.add_argument("--ours", type=count, help="our episodes for each of them (10 or 2)")
    arguments.add_argument("--steps", type=count, default=280, help="of an episode (280)")
    arguments.add_argument("--horizons", type=count, nargs="+", default=[10, 1], help="(10 1)")
    arguments.add_argument("--physics", nargs="+", default=["exact", "fast"], help="(exact fast)")
    arguments.add_argument("--policy", choices=("act", "smolvla"), default="act")
    arguments.add_argument("--full", action="store_true", help="SmolVLA of the published size")
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--workers", type=count, default=2, help="environments at a time (2)")
    return arguments.parse_args()


def measure(scratch: Path, chosen: argparse.Namespace, horizon: int) -> dict[str, Any]:
    """Return the times of both programs, with so many actions executed per inference."""
    folder = scratch / f"horizon-{horizon}"
    folder.mkdir()
    checkpoint = make_policy(folder / "policy", chosen, horizon)
    _say(f"{horizon} actions per inference: lerobot-eval")
    row: dict[str, Any] = {"n_action_steps": horizon, "load": machine()["load"]}
    row["lerobot_eval"] = theirs(folder, checkpoint, chosen)
    episodes = chosen.episodes * (chosen.ours or OURS.get(horizon, 4))
    for physics in chosen.physics:
        _say(f"{horizon} actions per inference: vlaeval run, {physics}")
        row[physics] = ours(folder, checkpoint, chosen, episodes, physics)
        row[physics]["ratio"] = round(
            row[physics]["episodes_per_hour"] / row["lerobot_eval"]["episodes_per_hour"], 2
        )
    _say(json.dumps(row))
    return row


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def make_policy(folder: Path, chosen: argparse.Namespace, n_action_steps: int) -> Path:
    """Write a checkpoint with random weights."""
    if chosen.policy == "act":
        return make_act(folder, n_action_steps)
    made = builders()
    made.smolvla(folder, made.LIBERO, full=chosen.full, n_action_steps=n_action_steps)
    return folder


def make_act(folder: Path, n_action_steps: int) -> Path:
    """Write a small ACT checkpoint with random weights and processors that change nothing."""
    import numpy as np
    import torch
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.processor.hil_processor import ImageCropResizeProcessorStep

    torch.manual_seed(0)
    inputs = {
        f"observation.images.{name}": PolicyFeature(
            FeatureType.VISUAL, (3, POLICY_SIZE, POLICY_SIZE)
        )
        for name in ("image", "image2")
    }
    inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (8,))
    output = {"action": PolicyFeature(FeatureType.ACTION, (7,))}
    config = ACTConfig(
        input_features=inputs,
        output_features=output,
        device="cpu",
        pretrained_backbone_weights=None,
        chunk_size=CHUNK,
        n_action_steps=n_action_steps,
        dim_model=32,
        n_heads=2,
        dim_feedforward=64,
        n_encoder_layers=1,
        n_vae_encoder_layers=1,
        latent_dim=8,
    )
    stats = {}
    for name, feature in (inputs | output).items():
        shape = (3, 1, 1) if "images" in name else feature.shape
        stats[name] = {"mean": np.zeros(shape, np.float32), "std": np.ones(shape, np.float32)}
    ACTPolicy(config).save_pretrained(folder)
    before, after = make_pre_post_processors(config, dataset_stats=stats)
    before.steps.append(ImageCropResizeProcessorStep(resize_size=(POLICY_SIZE, POLICY_SIZE)))
    for processor in (before, after):
        processor.save_pretrained(folder)
    return folder


def theirs(folder: Path, checkpoint: Path, chosen: argparse.Namespace) -> dict[str, float]:
    """Time `lerobot-eval`."""
    suite, index = chosen.task.split("/")
    script = folder / "lerobot_eval.py"
    script.write_text(
        # For all settings, hf-libero looks for a download of its own.
        f"import libero.libero\nlibero.libero._assets_path_cache = {str(find_assets().path)!r}\n"
        "if __name__ == '__main__':\n    from lerobot.scripts.lerobot_eval import main\n    main()\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "LIBERO_CONFIG_PATH": str(settings(folder))}
    arguments = [
        f"--policy.path={checkpoint}",
        f"--policy.device={chosen.device}",
        "--env.type=libero",
        f"--env.task={suite}",
        f"--env.task_ids=[{index}]",
        "--env.hard_reset=false",
        f"--env.observation_height={SIZE}",
        f"--env.observation_width={SIZE}",
        f"--env.episode_length={chosen.steps}",
        f"--eval.n_episodes={chosen.episodes}",
        f"--eval.batch_size={chosen.workers}",
        "--eval.use_async_envs=true",
        f"--output_dir={folder / 'theirs'}",
    ]
    wall = timed([sys.executable, str(script), *arguments], environment, folder)
    info = json.loads((folder / "theirs" / "eval_info.json").read_text())
    return speed(float(info["overall"]["eval_s"]), wall, chosen.episodes)


def settings(folder: Path) -> Path:
    """Write the settings file without which LIBERO asks questions on standard input."""
    from importlib.util import find_spec

    package = find_spec("libero")
    if package is None or package.origin is None:
        raise MissingExtraError("lerobot-eval on LIBERO", "libero")
    root = Path(package.origin).parent / "libero"
    entries = {
        "assets": find_assets().path,
        "bddl_files": root / "bddl_files",
        "benchmark_root": root,
        "datasets": folder,
        "init_states": root / "init_files",
    }
    text = "".join(f"{name}: {path}\n" for name, path in entries.items())
    (folder / "config.yaml").write_text(text)
    return folder


def ours(
    folder: Path, checkpoint: Path, chosen: argparse.Namespace, episodes: int, physics: str
) -> dict[str, float]:
    """Time `vlaeval run`."""
    rehearsal = folder / f"rehearsal-{physics}"
    vlaeval_run(rehearsal, checkpoint, chosen, protocol(rehearsal, chosen, 1, CHUNK, physics))
    out = folder / f"ours-{physics}"
    path = protocol(out, chosen, episodes, chosen.steps, physics)
    wall = vlaeval_run(out, checkpoint, chosen, path)
    records = read_records(sorted((out / "episodes").glob("*.jsonl"))).final.values()
    timings = [record.timing.model_dump() for record in records]
    if len(timings) != episodes or {record.steps for record in records} != {chosen.steps}:
        raise InfrastructureError(
            f"{out}: {len(timings)} episodes have a result, and not all {chosen.steps} steps; "
            f"{episodes} of {chosen.steps} steps were expected, so the times cannot be compared"
        )
    starts = [datetime.fromisoformat(timing["started_at"]).timestamp() for timing in timings]
    ends = [start + timing["wall_s"] for start, timing in zip(starts, timings, strict=True)]
    result = speed(max(ends) - min(starts), wall, episodes)
    for name in PARTS:
        result[name] = round(sum(timing[name] for timing in timings) / episodes, 2)
    return result


def protocol(
    out: Path, chosen: argparse.Namespace, episodes: int, steps: int, physics: str
) -> Path:
    """Write the protocol of a run."""
    suite, index = chosen.task.split("/")
    path = out.with_suffix(".toml")
    path.write_text(
        PROTOCOL.format(
            suite=suite,
            short=suite.removeprefix("libero_"),
            index=index,
            episodes=episodes,
            steps=steps,
            size=SIZE,
            physics=physics,
        )
    )
    return path


def vlaeval_run(out: Path, checkpoint: Path, chosen: argparse.Namespace, path: Path) -> float:
    """Run a protocol, and return the seconds that the command took."""
    command = [sys.executable, "-m", "vlaeval_launcher", "run", str(path)]
    spec = f"lerobot:{checkpoint}?device={chosen.device}"
    command += ["--policy", spec, "--workers", str(chosen.workers), "--out", str(out)]
    return timed(command, dict(os.environ), out.parent)


def timed(command: list[str], environment: dict[str, str], folder: Path) -> float:
    """Run a command, and return the seconds it took; stop with its last words if it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        _say(f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        raise InfrastructureError(f"exit code {done.returncode} of {' '.join(command)}")
    return time.perf_counter() - start


def speed(seconds: float, wall: float, episodes: int) -> dict[str, float]:
    """Return the numbers of a run for a table."""
    return {
        "episodes": episodes,
        "seconds": round(seconds, 1),
        "command_s": round(wall, 1),
        "s_per_episode": round(seconds / episodes, 2),
        "episodes_per_hour": round(3600 * episodes / seconds, 1),
    }


def markdown(result: Mapping[str, Any]) -> str:
    """Return the tables."""
    where, workers = dict(result["machine"]), result.get("workers", 2)
    loads = [f"{row['load']} ({row['n_action_steps']})" for row in result["rows"] if "load" in row]
    where |= {"load before": ", ".join(loads)} if loads else {}
    about = in_words(where)
    text = [
        "# LIBERO episodes an hour, against `lerobot-eval`",
        "",
        f"By `benchmarks/libero_lerobot.py`: {about}. Task {result['task']}, {result['steps']} steps an",
        f"episode, two cameras of {SIZE} px, {_policy_of(result)}.",
        "",
        "| actions per inference | | episodes | s an episode | episodes an hour | ratio |",
        "|---|---|---|---|---|---|",
    ]
    labels = {
        "lerobot_eval": f"`lerobot-eval`, {workers} async environments, soft resets",
        "exact": f"`vlaeval run`, {workers} workers, `exact` (default)",
        "fast": f"`vlaeval run`, {workers} workers, `fast`",
    }
    for row in result["rows"]:
        for name, label in labels.items():
            if name not in row:
                continue
            times = row[name]
            text.append(
                f"| {row['n_action_steps']} | {label} | {times['episodes']} | {times['s_per_episode']} "
                f"| {times['episodes_per_hour']} | {times.get('ratio', 1)} |"
            )
    text += [
        "",
        f"Where our seconds go, each summed over an episode ({workers} episodes run side by side):",
        "",
        "| actions per inference | physics | build | reset | physics | pictures | policy | of it waiting |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        for name in ("exact", "fast"):
            if name not in row:
                continue
            numbers = " | ".join(str(row[name][part]) for part in PARTS)
            text.append(f"| {row['n_action_steps']} | {name} | {numbers} |")
    text += ["", *_bounds(result["rows"])]
    return "\n".join([*text, ""])


def _bounds(rows: list[dict[str, Any]]) -> list[str]:
    """Return for each number of actions the factor that would be left if all but pictures and policy took no time."""
    lines = []
    for row in rows:
        if "exact" not in row:
            continue
        ours, number = row["exact"], row["n_action_steps"]
        whole = sum(ours[part] for part in PARTS if part != "wait_s")
        least = ours["observe_s"] + ours["infer_s"] - ours["wait_s"]
        lines.append(
            f"With {number} action{'s' if number > 1 else ''} per inference, pictures and policy are {least / whole:.0%} of the "
            f"time; if all else took none, the factor would be {ours['ratio'] * whole / least:.1f}."
        )
    return lines


def _policy_of(result: Mapping[str, Any]) -> str:
    if result.get("policy", "act") == "act":
        where = result.get("device", "cpu")
        return f"the same ACT (ResNet-18 on {POLICY_SIZE} px, random weights) on {where}"
    size = "of the published size" if result["full"] else "tiny"
    return f"the same random SmolVLA, {size}, on {result['device']}"


if __name__ == "__main__":
    run(main)
