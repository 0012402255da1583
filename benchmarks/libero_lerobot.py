"""Times LIBERO episodes under `vlaeval run` against `lerobot-eval`: same task, same policy, same cores.

Run: python benchmarks/libero_lerobot.py [--task libero_spatial/0] [--episodes 2]

Writes results/libero_lerobot.json and .md. `lerobot-eval` gets its best settings: one asynchronous
environment a core, soft resets, 256 px. The policy is a small ACT that resizes its pictures to 128 px;
its weights are random, so that every episode lasts until the time limit of 280 steps. Both are timed
from the first episode's reset to the end of the last, without importing libraries, which is reported
apart. Our clock includes importing the simulator and building the scenes, which `lerobot-eval` does
before its own starts; so ours run ten or four times as many episodes, which takes them about as long.
That is still far fewer than a protocol has for a task. A short run goes before each of ours: on a
machine that has run the suite before, compiled code and scenes are in the cache.
Needs the extras `libero` and `lerobot`, LIBERO's assets, and an otherwise idle machine.
"""

# ruff: noqa: INP001, T201  a script that speaks to a terminal

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from machine import in_words, machine

from vla_eval.runs.store import read_records
from vla_eval_envs.libero.assets import find_assets

RESULTS = Path(__file__).parent / "results"
STEPS, SIZE, CHUNK = 280, 256, 10
# What the policy makes of the pictures before it looks; so its preprocessor says, in both programs.
POLICY_SIZE = 128
# Actions per inference, and how many episodes ours run for each of lerobot-eval's.
HORIZONS = {10: 10, 1: 4}
WORKERS = 2
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
    """Time both at every execution horizon, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="libero_spatial/0")
    parser.add_argument(
        "--episodes",
        type=int,
        default=2,
        help="of lerobot-eval; ours run ten or four times as many",
    )
    chosen = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for horizon, times in HORIZONS.items():
            folder = Path(scratch) / f"horizon-{horizon}"
            folder.mkdir()
            checkpoint = make_policy(folder / "act", horizon)
            row: dict[str, Any] = {"n_action_steps": horizon}
            row["lerobot_eval"] = theirs(folder, checkpoint, chosen.task, chosen.episodes)
            for physics in ("exact", "fast"):
                row[physics] = ours(
                    folder, checkpoint, chosen.task, times * chosen.episodes, physics
                )
                row[physics]["ratio"] = round(
                    row[physics]["episodes_per_hour"] / row["lerobot_eval"]["episodes_per_hour"], 2
                )
            print(json.dumps(row), file=sys.stderr)
            rows.append(row)
    result = {"machine": machine(), "task": chosen.task, "steps": STEPS, "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "libero_lerobot.json").write_text(json.dumps(result, indent=1) + "\n")
    (RESULTS / "libero_lerobot.md").write_text(markdown(result))


def make_policy(folder: Path, n_action_steps: int) -> Path:
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


def theirs(folder: Path, checkpoint: Path, task: str, episodes: int) -> dict[str, float]:
    """Time `lerobot-eval`."""
    suite, index = task.split("/")
    script = folder / "lerobot_eval.py"
    script.write_text(
        # Whatever its settings say, hf-libero looks for a download of its own.
        f"import libero.libero\nlibero.libero._assets_path_cache = {str(find_assets().path)!r}\n"
        "if __name__ == '__main__':\n    from lerobot.scripts.lerobot_eval import main\n    main()\n"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "LIBERO_CONFIG_PATH": str(settings(folder))}
    arguments = [
        f"--policy.path={checkpoint}",
        "--policy.device=cpu",
        "--env.type=libero",
        f"--env.task={suite}",
        f"--env.task_ids=[{index}]",
        "--env.hard_reset=false",
        f"--env.observation_height={SIZE}",
        f"--env.observation_width={SIZE}",
        f"--env.episode_length={STEPS}",
        f"--eval.n_episodes={episodes}",
        f"--eval.batch_size={WORKERS}",
        "--eval.use_async_envs=true",
        f"--output_dir={folder / 'theirs'}",
    ]
    wall = run([sys.executable, str(script), *arguments], environment, folder)
    info = json.loads((folder / "theirs" / "eval_info.json").read_text())
    return speed(float(info["overall"]["eval_s"]), wall, episodes)


def settings(folder: Path) -> Path:
    """Write the settings file without which LIBERO asks questions on standard input."""
    from importlib.util import find_spec

    package = find_spec("libero")
    if package is None or package.origin is None:
        sys.exit("the extra 'libero' is needed")
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
    folder: Path, checkpoint: Path, task: str, episodes: int, physics: str
) -> dict[str, float]:
    """Time `vlaeval run`."""
    rehearsal = folder / f"rehearsal-{physics}"
    vlaeval_run(rehearsal, checkpoint, protocol(rehearsal, task, 1, CHUNK, physics))
    out = folder / f"ours-{physics}"
    wall = vlaeval_run(out, checkpoint, protocol(out, task, episodes, STEPS, physics))
    records = read_records(sorted((out / "episodes").glob("*.jsonl"))).final.values()
    timings = [record.timing.model_dump() for record in records]
    if len(timings) != episodes or {record.steps for record in records} != {STEPS}:
        sys.exit(f"expected {episodes} episodes of {STEPS} steps: {timings}")
    starts = [datetime.fromisoformat(t["started_at"]).timestamp() for t in timings]
    ends = [start + t["wall_s"] for start, t in zip(starts, timings, strict=True)]
    result = speed(max(ends) - min(starts), wall, episodes)
    for name in ("build_s", "reset_s", "advance_s", "observe_s", "infer_s", "wait_s"):
        result[name] = round(sum(t[name] for t in timings) / episodes, 2)
    return result


def protocol(out: Path, task: str, episodes: int, steps: int, physics: str) -> Path:
    """Write the protocol of a run."""
    suite, index = task.split("/")
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


def vlaeval_run(out: Path, checkpoint: Path, path: Path) -> float:
    """Run a protocol and return the seconds that the command took."""
    command = [str(Path(sys.executable).with_name("vlaeval")), "run", str(path)]
    command += ["--policy", f"lerobot:{checkpoint}", "--workers", str(WORKERS), "--out", str(out)]
    return run(command, dict(os.environ), out.parent)


def run(command: list[str], environment: dict[str, str], folder: Path) -> float:
    """Run a command and return the seconds it took; stop with its last words if it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return time.perf_counter() - start


def speed(seconds: float, wall: float, episodes: int) -> dict[str, float]:
    """Return what a table shows of a run."""
    return {
        "episodes": episodes,
        "seconds": round(seconds, 1),
        "command_s": round(wall, 1),
        "s_per_episode": round(seconds / episodes, 2),
        "episodes_per_hour": round(3600 * episodes / seconds, 1),
    }


def markdown(result: dict[str, Any]) -> str:
    """Return the same for people."""
    about = in_words(result["machine"])
    text = [
        "# LIBERO episodes an hour, against `lerobot-eval`",
        "",
        f"By `benchmarks/libero_lerobot.py`: {about}. Task {result['task']}, {result['steps']} steps an",
        f"episode, two cameras of {SIZE} px, the same ACT (ResNet-18 on {POLICY_SIZE} px, random weights) on the CPU.",
        "",
        "| actions per inference | | episodes | s an episode | episodes an hour | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        for name, label in (
            ("lerobot_eval", "`lerobot-eval`, 2 async environments, soft resets"),
            ("exact", "`vlaeval run`, 2 workers, `exact` (default)"),
            ("fast", "`vlaeval run`, 2 workers, `fast`"),
        ):
            each = row[name]
            text.append(
                f"| {row['n_action_steps']} | {label} | {each['episodes']} | {each['s_per_episode']} "
                f"| {each['episodes_per_hour']} | {each.get('ratio', 1)} |"
            )
    text += [
        "",
        "Where our seconds go, each summed over an episode (two episodes run side by side):",
        "",
    ]
    text += [
        "| actions per inference | physics | build | reset | physics | pictures | policy | of it waiting |"
    ]
    text += ["|---|---|---|---|---|---|---|---|"]
    for row in result["rows"]:
        for name in ("exact", "fast"):
            each = row[name]
            parts = ("build_s", "reset_s", "advance_s", "observe_s", "infer_s", "wait_s")
            numbers = " | ".join(str(each[part]) for part in parts)
            text.append(f"| {row['n_action_steps']} | {name} | {numbers} |")
    return "\n".join([*text, ""])


if __name__ == "__main__":
    main()
