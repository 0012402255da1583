"""The policy kind ``lerobot``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from vla_eval.errors import PolicySpecError
from vla_eval.policy import Placement, Policy, PolicyMetadata
from vla_eval.spec import parse_options
from vla_eval_policies.lerobot_policy.checkpoint import Checkpoint, find_checkpoint
from vla_eval_policies.lerobot_policy.embodiment import STATE, Wants
from vla_eval_policies.lerobot_policy.options import Options

__all__ = ["LeRobotFactory", "wants_of"]


class LeRobotFactory:
    """``lerobot:FOLDER_OR_HUB_ID[?nfe=1&n_action_steps=10&…]``."""

    help: ClassVar[str] = "a LeRobot checkpoint (folder or hub id) behind its own processors"

    def placement(self, target: str | None) -> Placement:
        """Place it in the host: all workers share one copy of the weights and one batch."""
        del target
        return "host"

    def __call__(self, target: str | None, options: Mapping[str, Any]) -> Policy:
        """Build the policy.

        Raises:
            PolicySpecError: the checkpoint is incomplete or the options do not suit it.
            MissingExtraError: LeRobot is not installed.
        """
        if target is None:
            raise PolicySpecError(
                "policy kind 'lerobot' needs a checkpoint: lerobot:FOLDER or lerobot:USER/MODEL"
            )
        chosen = parse_options(Options, options, "lerobot")
        checkpoint = find_checkpoint(target, chosen.revision)
        from vla_eval_policies.lerobot_policy.chunkers import chunker_for
        from vla_eval_policies.lerobot_policy.loading import load
        from vla_eval_policies.lerobot_policy.policy import LeRobotPolicy

        loaded = _shared(checkpoint, chosen, load)
        chunker = chunker_for(checkpoint, loaded, chosen)
        where = f"lerobot:{target}"
        metadata = _metadata(checkpoint, chosen, chunker, loaded)
        if metadata.n_action_steps > chunker.chunk_size:
            raise PolicySpecError(
                f"{where}: n_action_steps={metadata.n_action_steps}, but a chunk has "
                f"{chunker.chunk_size} actions"
            )
        return LeRobotPolicy(loaded, chunker, wants_of(loaded, chosen, where), metadata)

    def shared_key(self, target: str | None, options: Mapping[str, Any]) -> str | None:
        """Return the parts of a spec that decide what is loaded: the steps of a flow do not."""
        chosen = parse_options(Options, options, "lerobot")
        return f"{target}?{_loading(chosen)}"


_WHILE_SAMPLING = {"nfe", "method", "solver", "keystone", "naive", "n_action_steps", "cameras"}
"""Options that the loaded model does not know: they decide how it is asked."""
_in_use: WeakValueDictionary[tuple[str, str], Any] = WeakValueDictionary()
"""The loaded checkpoints of this process, as long as a policy uses them."""


def _loading(options: Options) -> str:
    return options.model_dump_json(exclude=_WHILE_SAMPLING)


def _shared(checkpoint: Checkpoint, options: Options, load: Any) -> Any:
    """Load a checkpoint, or return the copy that another policy of this process uses.

    Flow policies only keep what they were loaded with; others have state, and compiled ones a graph of
    their own.
    """
    from vla_eval_policies.lerobot_policy.flow import FLOW_TYPES

    if checkpoint.type not in FLOW_TYPES or options.compile:
        return load(checkpoint, options)
    key = f"{checkpoint.folder}@{checkpoint.sha256()}", _loading(options)
    loaded = _in_use.get(key)
    if loaded is None:
        loaded = _in_use[key] = load(checkpoint, options)
    return loaded


def _metadata(checkpoint: Checkpoint, chosen: Options, chunker: Any, loaded: Any) -> PolicyMetadata:
    its_own_steps: int = loaded.policy.config.n_action_steps
    return PolicyMetadata(
        name=f"lerobot-{checkpoint.type}",
        method=chunker.method,
        chunk_size=chunker.chunk_size,
        n_action_steps=chosen.n_action_steps or min(its_own_steps, chunker.chunk_size),
        n_obs_steps=chunker.n_obs_steps,
        nfe=chunker.nfe,
        solver=chunker.solver,
        weights_sha256=checkpoint.sha256(),
        dtype=chosen.dtype,
        device=chosen.device,
        options={
            "cameras": chosen.cameras,
            "tokenizer": chosen.tokenizer or chosen.vlm,
            "keystone": chosen.keystone,
            "compile": chosen.compile,
            # K samples of one pass cost one pass, which nfe alone does not show.
            **(
                {"passes": chunker.cost.passes, "samples": chunker.cost.batch}
                if chosen.keystone
                else {}
            ),
            **({} if chunker.continuing is None else chunker.continuing.options),
            **({"naive": True} if chosen.naive else {}),
        },
        trained_on=None if loaded.student is None else loaded.student.trained_on,
    )


def wants_of(loaded: Any, options: Options, where: str) -> Wants:
    """Return the checkpoint's inputs and outputs, under the names that its preprocessor takes."""
    config = loaded.policy.config
    raw = {new: old for old, new in loaded.renamed.items()}
    inputs: dict[str, Any] = dict(config.input_features or {})
    images = {
        raw.get(key, key): (3, int(feature.shape[1]), int(feature.shape[2]))
        for key, feature in inputs.items()
        if feature.type.value == "VISUAL" and ".empty_camera_" not in key
    }
    others = [
        key
        for key, feature in inputs.items()
        if feature.type.value != "VISUAL" and raw.get(key, key) != STATE
    ]
    if others:
        raise PolicySpecError(
            f"{where} wants '{others[0]}'; observations hold pictures and {STATE} only"
        )
    state = config.robot_state_feature
    action = config.action_feature
    if action is None:
        raise PolicySpecError(f"{where}: config.json declares no action among output_features")
    names = ("resize_imgs_with_padding", "image_resolution", "resize_shape")
    return Wants(
        where,
        images,
        state=None if state is None else state.shape[0],
        action=action.shape[0],
        resizes=any(getattr(config, name, None) for name in names)
        or any(getattr(step, "resize_size", None) for step in loaded.preprocess.steps),
        cameras=options.camera_names(),
    )
