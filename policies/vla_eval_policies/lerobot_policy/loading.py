"""Loads a checkpoint strictly, as a LeRobot policy with its two processors.

LeRobot itself continues after faults and only logs them: pi0 and pi0.5 without weights become random
models, missing keys of other policies are a line in a log, and without statistics nothing is
normalised. Here each of these faults is an error.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import torch
from safetensors import safe_open

from vla_eval.errors import MissingExtraError, PolicySpecError, did_you_mean
from vla_eval_policies.lerobot_policy.checkpoint import (
    POSTPROCESSOR,
    PREPROCESSOR,
    WEIGHTS,
    Checkpoint,
)
from vla_eval_policies.lerobot_policy.extra_time import Branch, Student, attach, read_student
from vla_eval_policies.lerobot_policy.flow import FLOW_TYPES
from vla_eval_policies.lerobot_policy.options import Options
from vla_eval_policies.lerobot_policy.safety import approved_steps, forbid_repository_code
from vla_eval_policies.lerobot_policy.token_times import TokenTimes
from vla_eval_policies.lerobot_policy.weights import check_weights
from vla_eval_policies.methods import ExtraTime

__all__ = ["Loaded", "load", "statistics"]

_STATISTICS = {
    "MEAN_STD": ("mean", "std"),
    "MIN_MAX": ("min", "max"),
    "QUANTILES": ("q01", "q99"),
    "QUANTILE10": ("q10", "q90"),
}


@dataclass(frozen=True)
class Loaded:
    """A LeRobot policy, ready to infer."""

    policy: Any
    """A ``PreTrainedPolicy`` in evaluation mode on its device."""
    preprocess: Any
    """Processor from batch to batch: names, device, statistics, tokens."""
    postprocess: Any
    """Processor from normalised actions to actions."""
    renamed: Mapping[str, str]
    """Renamings of the preprocessor, from its input key to the checkpoint's key."""
    student: Student | None = None
    """Method of the checkpoint, if it is a student."""
    branch: Branch | None = None
    """Second time of the action expert."""
    token_times: TokenTimes | None = None
    """Lets the action expert take one time for each token; None: it was not trained so."""


def load(checkpoint: Checkpoint, options: Options) -> Loaded:
    """Build the policy of a checkpoint, load its weights and check that they were loaded.

    Raises:
        MissingExtraError: LeRobot, or a package that this type of policy needs, is not installed.
        PolicySpecError: the type is unknown, the device is absent, or weights or statistics are
            incomplete.
    """
    where = f"lerobot:{checkpoint.folder}"
    if not options.trust_remote_code:
        forbid_repository_code(where)
    with redirect_stdout(sys.stderr):  # LeRobot prints, and stdout is for results
        config = _config(checkpoint, options, where)
        policy = _policy(checkpoint, config, where)
        student = read_student(checkpoint.folder)
        branch = None if student is None else _load_branch(policy, checkpoint, student, where)
        if checkpoint.type == "smolvla" and options.dtype == "bfloat16":
            # The same as load_vlm_weights=True: projections and time MLPs stay float32.
            policy.model.vlm_with_expert.to(torch.bfloat16)
        check_weights(policy, checkpoint, where)
        loaded = _processors(checkpoint, config, options, policy, where)
    knows = student is not None and student.max_delay > 0
    if knows and checkpoint.type not in FLOW_TYPES:
        raise PolicySpecError(f"{where}: a '{checkpoint.type}' cannot continue queued actions")
    token_times = TokenTimes(policy) if knows else None
    loaded = replace(loaded, student=student, branch=branch, token_times=token_times)
    _check_statistics(config, loaded, where)
    return loaded


def _config(checkpoint: Checkpoint, options: Options, where: str) -> Any:
    try:
        import lerobot.policies  # noqa: F401  registers the types of policies
        from lerobot.configs import PreTrainedConfig
        from lerobot.utils.import_utils import register_third_party_plugins
    except ImportError as error:
        raise MissingExtraError("the policy kind 'lerobot'", "lerobot") from error
    register_third_party_plugins()
    known = PreTrainedConfig.get_known_choices()
    if checkpoint.type not in known:
        hint = did_you_mean(checkpoint.type, known)
        raise PolicySpecError(
            f"{where}: LeRobot knows no policy type '{checkpoint.type}'{hint}; where a plug-in brings it, "
            "install the plug-in: a distribution named lerobot_policy_…, which LeRobot imports"
        )
    try:
        torch.empty(0, device=options.device)
    except (AssertionError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise PolicySpecError(f"{where}: device '{options.device}' is not here: {reason}") from None
    try:
        config = PreTrainedConfig.from_pretrained(
            checkpoint.folder, cli_overrides=[f"--device={options.device}"]
        )
    except Exception as error:
        raise PolicySpecError(
            f"{where}: LeRobot cannot read config.json: {str(error).splitlines()[0]}"
        ) from error
    config.device = options.device
    _adjust(config, options, where)
    return config


def _adjust(config: Any, options: Options, where: str) -> None:
    """Set the options that the model reads when it is built."""
    if hasattr(config, "pretrained_backbone_weights"):
        config.pretrained_backbone_weights = None  # model.safetensors holds them; no download
    if hasattr(config, "load_vlm_weights"):
        config.load_vlm_weights = (
            False  # the same file holds them; True would also make the expert bfloat16
        )
    if hasattr(config, "compile_model"):
        config.compile_model = False
    if hasattr(config, "gradient_checkpointing"):
        config.gradient_checkpointing = False
    if options.vlm is not None:
        if not hasattr(config, "vlm_model_name"):
            raise PolicySpecError(f"{where}: option vlm is for SmolVLA, not for '{config.type}'")
        config.vlm_model_name = options.vlm
    if config.type in ("pi0", "pi05"):
        config.dtype = options.dtype
    elif options.dtype != "float32" and config.type != "smolvla":
        raise PolicySpecError(
            f"{where}: dtype={options.dtype} is for smolvla, pi0 and pi05, not for '{config.type}'"
        )


def _policy(checkpoint: Checkpoint, config: Any, where: str) -> Any:
    from lerobot.policies.factory import get_policy_class

    try:
        with _unheard(_says_unexpected):  # check_weights reports real faults later
            policy = get_policy_class(checkpoint.type).from_pretrained(
                checkpoint.folder, config=config, strict=False
            )
    except PolicySpecError:
        raise
    except ImportError as error:
        raise MissingExtraError(
            f"a LeRobot policy of type '{checkpoint.type}'", "lerobot"
        ) from error
    except Exception as error:
        reason = str(error).strip().splitlines() or [""]
        raise PolicySpecError(
            f"{where}: LeRobot cannot build this {checkpoint.type}: "
            f"{type(error).__name__}: {reason[0]}"
        ) from error
    return policy.to(config.device).eval()


@contextmanager
def _unheard(matches: Callable[[logging.LogRecord], bool]) -> Iterator[None]:
    """Drop matching messages of the root logger, which LeRobot uses."""

    def keep(record: logging.LogRecord) -> bool:
        return not matches(record)

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)


def _says_unexpected(record: logging.LogRecord) -> bool:
    return record.getMessage().startswith("Unexpected key(s)")


def _load_branch(
    policy: Any, checkpoint: Checkpoint, student: Student, where: str
) -> Branch | None:
    """Add the second time of a student to the policy; LeRobot's own loader cannot load it."""
    if student.method.extra_time is ExtraTime.NONE:
        return None
    if checkpoint.type not in FLOW_TYPES:
        raise PolicySpecError(f"{where}: a '{checkpoint.type}' can have no second time")
    branch = attach(policy, student.method.extra_time, student.periods)
    prefix = "model.extra_time."
    with safe_open(checkpoint.folder / WEIGHTS, framework="pt") as file:
        stored = {
            name.removeprefix(prefix): file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118  no mapping
            if name.startswith(prefix)
        }
    branch.load_state_dict(stored, strict=False)  # check_weights reports missing tensors
    return branch.eval()


def _processors(
    checkpoint: Checkpoint, config: Any, options: Options, policy: Any, where: str
) -> Loaded:
    from lerobot.policies.factory import make_pre_post_processors

    before, after = (
        approved_steps(checkpoint.folder / file, options.plugin)
        for file in (PREPROCESSOR, POSTPROCESSOR)
    )
    changes: dict[str, dict[str, Any]] = {}
    if "device_processor" in before:
        changes["device_processor"] = {"device": config.device}
    tokenizer = options.tokenizer or options.vlm
    if tokenizer is not None:
        if "tokenizer_processor" not in before:
            raise PolicySpecError(f"{where}: it has no tokenizer, so no option tokenizer either")
        changes["tokenizer_processor"] = {"tokenizer_name": tokenizer}
    try:
        preprocess, postprocess = make_pre_post_processors(
            config,
            str(checkpoint.folder),
            preprocessor_overrides=changes,
            postprocessor_overrides={"device_processor": {"device": "cpu"}}
            if "device_processor" in after
            else {},
        )
    except PolicySpecError:
        raise
    except Exception as error:
        name = (before.get("tokenizer_processor") or {}).get("tokenizer_name")
        hint = f" (its tokenizer is '{name}'; another one: tokenizer=FOLDER)" if name else ""
        raise PolicySpecError(
            f"{where}: LeRobot cannot build its processors{hint}: "
            f"{type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error
    renames = (before.get("rename_observations_processor") or {}).get("rename_map") or {}
    return Loaded(policy, preprocess, postprocess, dict(renames))


def _check_statistics(config: Any, loaded: Loaded, where: str) -> None:
    """Refuse features that are normalised but have no finite statistics."""
    inputs, outputs = dict(config.input_features or {}), dict(config.output_features or {})
    sides = ((inputs, loaded.preprocess), (outputs, loaded.postprocess))
    for features, pipeline in sides:
        state = statistics(pipeline)
        for key, feature in features.items():
            mode = config.normalization_mapping.get(feature.type.value, None)
            for name in _STATISTICS.get(getattr(mode, "value", ""), ()):
                tensor = state.get(f"{key}.{name}")
                if tensor is None:
                    raise PolicySpecError(
                        f"{where}: no '{name}' of {key} is stored, so it could not be normalised "
                        f"({mode.value}); save the processors with the dataset's statistics"
                    )
                if not tensor.isfinite().all():
                    raise PolicySpecError(f"{where}: the '{name}' of {key} is not finite")
                if feature.type.value != "VISUAL" and tensor.numel() != feature.shape[0]:
                    raise PolicySpecError(
                        f"{where}: the '{name}' of {key} has {tensor.numel()} numbers, "
                        f"the feature {feature.shape[0]}"
                    )


def statistics(pipeline: Any) -> dict[str, torch.Tensor]:
    """Return a processor's normalisation statistics, under keys ``feature.name``."""
    return {
        name: tensor
        for step in pipeline.steps
        if hasattr(step, "norm_map")
        for name, tensor in step.state_dict().items()
    }
