"""Valid files of every kind, small, from which damaged ones are made."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["PROTOCOL", "RECIPE", "REGISTRATION", "SWEEP", "Samples", "claims", "write_run"]

PROTOCOL = """\
schema_version = 1
protocol = "fuzzed"
version = 1
title = "a point on a line"
source = "nowhere"
[[blocks]]
suite = "fake"
env_id = "fakes:fakes/{task}-v0"
tasks = ["Point"]
init_states = { count = 20 }
max_steps = 40
[blocks.env_kwargs]
image_size = 16
[run]
n_action_steps = 4
order = "round-robin"
[run.limits]
infer_s = 20.0
[analysis]
estimand = "difference in success rate"
margin = 0.1
margin_reason = "a test"
stopping = "obrien-fleming-5"
"""
SWEEP = """\
protocol = "so101-quickstart"
set = ["run.n_action_steps={horizon}"]
[grid]
horizon = [1, 5]
[arms]
ten = "impaired:expert?action_noise=0.1"
one = "expert"
"""
RECIPE = """\
seed = 0
[data]
datasets = ["demos/pick-place"]
[network]
chunk_size = 16
width = 96
[method]
name = "snapflow:published"
alpha = 0.5
[training]
steps = 40
batch = 4
draws = 2
lr = 1e-3
"""
REGISTRATION = """\
{"format": 1, "protocol": "fuzzed@1", "protocol_sha256": "%s", "standing": "unreleased",
 "arms": [{"name": "new", "spec": "expert", "identity_sha256": "%s"},
          {"name": "old", "spec": "expert", "identity_sha256": "%s"}],
 "roles": {"candidate": "new", "reference": "old", "control": null},
 "margin": 0.1, "alpha": 0.05, "registered_at": "2026-01-01T00:00:00Z", "commit": null}
""" % (("0" * 64,) * 3)


def claims() -> str:
    """Return a file of one claim of each kind that counts can judge."""
    return """\
schema_version = 1
title = "claims"
[sources.a]
title = "A paper"
short = "A"
[[claims]]
id = "one"
source = "a"
kind = "rates"
where = "table 1"
says = "as good"
asserts = "parity"
candidate = { name = "new", n = 50, percent = "92.0" }
reference = { name = "old", n = 50, successes = 47 }
[[claims]]
id = "two"
source = "a"
kind = "latency"
where = "table 2"
says = "faster"
chunk = [{ nfe = 1, ms = 20.0 }, { nfe = 10, ms = 100.0 }]
speedup = "5.0"
[[claims]]
id = "three"
source = "a"
kind = "seeds"
where = "table 3"
says = "better"
asserts = "better"
design = "independent"
candidate = { name = "new", n = 50, percents = ["92.0", "90.0"] }
reference = { name = "old", n = 50, percents = ["80.0", "82.0"] }
"""


def write_run(folder: Path, *, states: int = 20) -> Path:
    """Write a complete run of two arms without running anything; return its folder."""
    from vla_eval.files.tomlfile import parse_toml
    from vla_eval.plan import expand
    from vla_eval.protocol import parse_protocol
    from vla_eval.runs.header import Arm, RunHeader, Session, identity_sha256
    from vla_eval.runs.store import RecordWriter

    text = PROTOCOL.replace("count = 20", f"count = {states}")
    protocol = parse_protocol(parse_toml(text, "sample"), "sample")
    arms = tuple(_arm(name) for name in ("new", "old"))
    begun = "2026-01-01T00:00:00+00:00"
    run = RunHeader(
        status="complete",
        protocol_sha256=protocol.sha256,
        protocol=protocol,
        arms=tuple(Arm.model_validate(arm) for arm in arms),
        created_at=begun,
        versions={"vla_eval": "1"},
        machine={"cpu": "one"},
        sessions=(Session(started_at=begun, shard="1/1", versions={}),),
    )
    (folder / "episodes").mkdir(parents=True)
    (folder / "run.json").write_text(run.model_dump_json(indent=2) + "\n")
    (folder / "protocol.json").write_text(protocol.canonical_json() + "\n")
    with RecordWriter(folder / "episodes" / "20260101T000000-0-0001-w0.jsonl") as writer:
        for arm in arms:
            for number, episode in enumerate(expand(protocol)):
                identity = identity_sha256(arm["identity"])
                writer.append(_record(arm["name"], identity, protocol.sha256, episode, number))
    return folder


def _arm(name: str) -> dict[str, Any]:
    spec = f"fakes.policies:InWorker?skill={0.9 if name == 'new' else 0.8}"
    identity = {"name": name, "spec": spec, "weights_sha256": "0" * 64, "options": {}}
    return {"name": name, "spec": spec, "identity": identity}


def _record(arm: str, identity: str, protocol: str, episode: Any, number: int) -> Any:
    from vla_eval.record import EpisodeRecord, Timing

    key, won = episode.key, number % 7 != 0
    return EpisodeRecord(
        arm=arm,
        suite=key.suite,
        task=key.task,
        init_state=key.init_state,
        env_seed=key.env_seed,
        policy_seed=key.policy_seed,
        env_id=episode.env_id,
        instruction="go to the point",
        outcome="success" if won else "failure",
        reason=None if won else "time_limit",
        score=float(won),
        subgoals={"there": won},
        steps=20,
        inferences=5,
        nfe=5,
        scene_hash=f"{number:064x}",
        actions_sha256=f"{number:064x}",
        provenance={"fakes": "1"},
        protocol_sha256=protocol,
        policy_sha256=identity,
        timing=Timing(
            started_at="2026-01-01T00:00:01+00:00", infer_s=0.5, infer_ms=(1.25,) * 5, session="0"
        ),
    )


class Samples:
    """A folder of valid files, by name; made once, copied before they are damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = write_run(folder / "run")
        self._write({"protocol.toml": PROTOCOL, "sweep.toml": SWEEP, "recipe.toml": RECIPE})
        self._write({"claims.toml": claims(), "registration.json": REGISTRATION})

    def _write(self, texts: Mapping[str, str]) -> None:
        for name, text in texts.items():
            (self.folder / name).write_text(text)

    def copy_of_run(self, target: Path) -> Path:
        """Replace the folder by a fresh copy of the run, and return it."""
        self.look()
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.run, target)
        return target

    def baseline(self) -> bytes:
        """Return a baseline of the run."""
        from vla_eval.gate import baseline_of

        return baseline_of(self.run, "new").model_dump_json(exclude_none=True).encode()

    def certificate(self) -> bytes:
        """Return a certificate of the run."""
        from vla_eval.certificate import Roles, issue

        self.look()
        return issue(self.run, Roles("new", "old", None)).model_dump_json().encode()

    def look(self) -> bytes:
        """Return the run's first look, which is logged if it is not yet."""
        from vla_eval.judging.look_files import take_looks
        from vla_eval.runs.folder import RunFolder

        file = self.run / "looks" / "1.json"
        if not file.exists():
            take_looks(RunFolder.open(self.run))
        return file.read_bytes()

    def flow(self) -> bytes:
        """Return a small checkpoint of our own."""
        import torch

        from vla_eval_policies.flow.checkpoint import Card, save_checkpoint
        from vla_eval_policies.flow.network import FlowConfig, FlowNetwork
        from vla_eval_policies.methods import make_method

        torch.manual_seed(0)
        method = make_method("fm")
        config = FlowConfig(
            cameras=("top",), state_size=3, action_size=3, image_size=16, chunk_size=4, width=16,
            layers=2, heads=2, extra_time=method.extra_time,
        )  # fmt: skip
        card = Card(
            network=config, method="fm", hyperparameters=method.model_dump(mode="json"), recipe={},
            data_sha256="0" * 64, data="nothing", seed=0, steps=0, versions={},
        )  # fmt: skip
        path = self.folder / "flow.safetensors"
        save_checkpoint(path, FlowNetwork(config), card)
        return path.read_bytes()

    def lerobot(self, target: Path) -> Path:
        """Write the small files of a LeRobot checkpoint; its weights are one tensor."""
        import numpy as np
        from safetensors.numpy import save_file

        target.mkdir(exist_ok=True)
        steps = [
            {"registry_name": "device_processor", "config": {"device": "cpu"}},
            {"registry_name": "normalizer_processor", "config": {"eps": 1e-8, "features": {}}},
        ]
        texts = {
            "config.json": {"type": "smolvla", "chunk_size": 50, "n_action_steps": 50},
            "policy_preprocessor.json": {"name": "policy_preprocessor", "steps": steps},
            "policy_postprocessor.json": {"name": "policy_postprocessor", "steps": steps[:1]},
            "vla_eval_method.json": {
                "format": 1, "method": "fm", "hyperparameters": {}, "periods": [0.004, 4.0],
            },
        }  # fmt: skip
        for name, content in texts.items():
            (target / name).write_text(json.dumps(content))
        save_file({"a": np.zeros(2, np.float32)}, target / "model.safetensors")
        return target

    def init_states(self) -> bytes:
        """Return frozen initial states as LIBERO ships them."""
        import pickle

        import numpy as np

        path = self.folder / "sample.pruned_init"
        payload = pickle.dumps(np.zeros((2, 3)), protocol=2)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr("archive/data.pkl", payload)
        return path.read_bytes()

    def frame(self) -> bytes:
        """Return a frame with an array, a picture and a map."""
        import io

        import numpy as np
        from PIL import Image

        from vla_eval_policies.remote.codec import pack

        picture = io.BytesIO()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture, "PNG")
        image = {"__image__": True, "format": "png", "shape": [8, 8, 3], "data": picture.getvalue()}
        return pack({"a": np.arange(6.0).reshape(2, 3), "b": image, "c": {"d": [1, "x", None]}})
