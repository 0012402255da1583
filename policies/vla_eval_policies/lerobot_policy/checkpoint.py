"""Checkpoints on disk: finds them, checks them before a model is built, and hashes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_eval.errors import PolicySpecError
from vla_eval_policies.lerobot_policy.safety import read_plain_json

__all__ = ["Checkpoint", "find_checkpoint"]

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PREPROCESSOR = "policy_preprocessor.json"
POSTPROCESSOR = "policy_postprocessor.json"
SIDECAR = "vla_eval_method.json"
"""Our file with the method of a student, see ``extra_time``."""
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


@dataclass(frozen=True)
class Checkpoint:
    """A complete folder as written by LeRobot's ``save_pretrained``."""

    folder: Path
    config: dict[str, Any]
    """Content of ``config.json``."""

    @property
    def type(self) -> str:
        """LeRobot's name of the policy type, for example ``smolvla``."""
        return str(self.config["type"])

    def sha256(self) -> str:
        """Hash the configuration, the weights, and the processors with their statistics."""
        hasher = hashlib.sha256()
        patterns = (CONFIG, "*.safetensors", "policy_*.json", SIDECAR)
        for path in sorted({path for pattern in patterns for path in self.folder.glob(pattern)}):
            hasher.update(f"{path.name}\0".encode())
            hasher.update(_digest(path))
        return hasher.hexdigest()


def find_checkpoint(target: str, revision: str | None = None) -> Checkpoint:
    """Return the checkpoint of a folder or a hub id; fetches the files of a hub id.

    Raises:
        PolicySpecError: the checkpoint does not exist, lacks files, has pickled weights, or is an
            adapter without its base.
    """
    path = Path(target).expanduser()
    if path.is_dir():
        if revision is not None:
            raise PolicySpecError(f"lerobot:{target}: option revision is for hub ids, not folders")
        folder = path
    else:
        folder = _from_hub(target, revision)
    _check_files(folder, target)
    config = read_plain_json(folder / CONFIG)
    if not isinstance(config.get("type"), str):
        raise PolicySpecError(
            f"lerobot:{target}: {CONFIG} names no type of policy; is it a LeRobot checkpoint?"
        )
    if config.get("use_peft"):
        raise PolicySpecError(
            f"lerobot:{target} is a PEFT adapter; merge it into its base model and save that"
        )
    return Checkpoint(folder, config)


def _from_hub(target: str, revision: str | None) -> Path:
    if target.count("/") != 1 or target.startswith((".", "/", "~")):
        raise PolicySpecError(f"lerobot:{target}: there is no such folder")
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                target,
                revision=revision,
                allow_patterns=["*.json", "*.safetensors", "*.model"],
                ignore_patterns=["training_state/*", "checkpoints/*"],
            )
        )
    except Exception as error:  # noqa: BLE001  whatever the hub's client raises
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise PolicySpecError(
            f"lerobot:{target}: no such folder here, and the hub gave nothing "
            f"({type(error).__name__}: {reason})"
        ) from None


def _check_files(folder: Path, target: str) -> None:
    present = {path.name for path in folder.iterdir()}
    if WEIGHTS not in present:
        pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
        if pickles:
            raise PolicySpecError(
                f"lerobot:{target}: '{pickles[0]}' is a pickle, which may run any code; save the "
                f"weights as {WEIGHTS}"
            )
        nested = "pretrained_model" in present
        hint = f"; try {target.rstrip('/')}/pretrained_model" if nested else ""
        raise PolicySpecError(f"lerobot:{target}: there is no {WEIGHTS} in it{hint}")
    if CONFIG not in present:
        raise PolicySpecError(f"lerobot:{target}: there is no {CONFIG} in it")
    for name in (PREPROCESSOR, POSTPROCESSOR):
        if name not in present:
            raise PolicySpecError(
                f"lerobot:{target}: there is no {name} in it, so nobody knows how observations and "
                "actions are normalised; checkpoints from before LeRobot 0.4 are converted by "
                "python -m lerobot.processor.migrate_policy_normalization"
            )


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
