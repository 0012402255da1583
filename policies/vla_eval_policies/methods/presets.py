"""The papers' hyperparameters, by name, such as ``meanflow:one-step-vla``.

A preset is a method with its numbers, what else the paper says about training, and what it leaves
open. Reproducing a paper's numbers takes its network and its data too; these are its method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vla_eval_policies.methods.diffusion import DDIM, DDPM
from vla_eval_policies.methods.drift import Drift
from vla_eval_policies.methods.fm import FlowMatching, HighNoiseFlowMatching
from vla_eval_policies.methods.keystone import KeyStone
from vla_eval_policies.methods.meanflow import MeanFlow
from vla_eval_policies.methods.method import Method
from vla_eval_policies.methods.shortcut import Shortcut
from vla_eval_policies.methods.snapflow import SnapFlow

__all__ = ["KEYSTONE_PRESETS", "PRESETS", "Preset"]


@dataclass(frozen=True)
class Preset:
    """A method with a paper's numbers."""

    method: Method
    source: str
    training: Mapping[str, float | str] = field(default_factory=dict)
    """What the source says about optimisation."""
    open: str = ""
    """What it does not say, and what was read into it."""


_SMOLVLA: Mapping[str, float | str] = {"optimizer": "AdamW", "lr": 1e-4, "weight_decay": 1e-10, "clip": 10.0, "warmup": 1000,
            "steps": 30_000, "lr_end": 2.5e-6}  # fmt: skip
_DIFFUSION_POLICY = "Chi et al., RSS 2023, in LeRobot's configuration"

PRESETS: Final[Mapping[str, Preset]] = {
    "fm:smolvla": Preset(
        FlowMatching(),
        "Shukor et al., arXiv 2506.01844, and LeRobot's code",
        {**_SMOLVLA, "frozen": "the vision-language model"},
    ),
    "fm-high-noise:let-it-be-simple": Preset(
        HighNoiseFlowMatching(shift=4.0),
        "arXiv 2606.05737",
        open="The paper tries α 3, 4 and 8; 4 was its best at one step.",
    ),
    "snapflow:published": Preset(
        SnapFlow(alpha=0.5, weight=0.1, substeps=2),
        "Luan et al., arXiv 2604.05656",
        {"steps": 30_000, "frozen": "the vision-language model", "ema": "none"},
        open="Batch size, learning rate and the law of t are not published. Starts from a "
        "flow-matching checkpoint.",
    ),
    "snapflow:ten-substeps": Preset(
        SnapFlow(alpha=0.5, weight=1.0, substeps=10),
        "this project: the shortcut learns the ten-step map instead of the two-step map",
        open="Weight 1 instead of 0.1.",
    ),
    "meanflow:one-step-vla": Preset(
        MeanFlow(
            flow_ratio=0.2, gamma=0.5, c=1e-3, reduction="sum", times="logit-normal", whole=0.0
        ),
        "arXiv 2603.01469, tables I to IV: flow ratio 0.2, γ 0.5, chunk 20",
        {"steps": "60k one task, 200k several", "frozen": "SmolVLM-2"},
        open="c and the law of times are not published; 1e-3, and the law of the MeanFlow paper.",
    ),
    "meanflow:imagenet": Preset(
        MeanFlow(
            flow_ratio=0.75, gamma=0.0, c=0.01, reduction="sum", times="logit-normal", whole=0.0
        ),
        "Geng et al., arXiv 2505.13447, and its code",
        {"lr": 1e-4, "beta2": 0.95, "ema": 0.9999},
        open="Without classifier-free guidance.",
    ),
    "meanflow:mp1": Preset(
        MeanFlow(
            flow_ratio=0.5, gamma=0.5, c=1e-3, reduction="mean", times="logit-normal", whole=0.0
        ),
        "arXiv 2507.10543, and its code",
        {"optimizer": "AdamW", "lr": 1e-4, "ema": "power 0.75"},
        open="Without its dispersive loss, which belongs to its UNet, and without its guidance, "
        "whose condition is the same on both sides, so that its mean is u itself.",
    ),
    "drift:drift-vla": Preset(
        Drift(
            samples=8, temperatures=(0.02, 0.05, 0.2), grouping="action-dimension", output="direct"
        ),
        "Zuo, Drift-VLA, July 2026",
        {"lr": 1e-4, "batch": 64, "steps": 30_000, "frozen": "the vision-language model"},
        open="From an expert that was not initialised with unit spread this can collapse; "
        "spread_to_error tells.",
    ),
    "drift:dbp": Preset(
        Drift(samples=4, temperatures=(0.02, 0.05, 0.2), grouping="chunk", output="direct"),
        "arXiv 2604.03540, and its code",
    ),
    "shortcut:published": Preset(
        Shortcut(bootstrap=0.125),
        "Frans et al., arXiv 2410.12557, and its code",
        {"ema": 0.999},
        open="Without the clip of targets to ±4.",
    ),
    "ddpm:diffusion-policy": Preset(DDPM(timesteps=100, clip=1.0), _DIFFUSION_POLICY),
    "ddim:diffusion-policy": Preset(DDIM(timesteps=100, clip=1.0), _DIFFUSION_POLICY),
}
"""By name, ``METHOD:WHOSE``. The diffusion presets need actions scaled to [−1, 1]."""

KEYSTONE_PRESETS: Final[Mapping[str, KeyStone]] = {
    "keystone:published": KeyStone(samples=16, clusters=2, guard=0.3),
    "keystone:drift-vla": KeyStone(samples=8, clusters=4, guard=0.3),
}
"""arXiv 2605.08638 (SmolVLA and π0.5); Drift-VLA's, of SmolVLA."""
