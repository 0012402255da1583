"""An evaluation inside a training process must leave no trace: generators, modes, gradients.

torch is used only if the caller has imported it.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from vla_eval.errors import InfrastructureError, UsageError

__all__ = ["on_one_rank", "refuse_sharded", "undisturbed", "weights_sha256"]


@contextmanager
def undisturbed(module: Any) -> Iterator[None]:
    """Put a torch module into evaluation mode inside the block, and restore everything after it.

    Restored: the mode of each submodule, and the states of the global generators of torch (all devices),
    NumPy and Python. Inside, no gradients are recorded.

    Args:
        module: the torch module behind the policy; None: there is none.
    """
    torch = sys.modules.get("torch")
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the trainer's own
    modes = [(part, part.training) for part in module.modules()] if module is not None else []
    states = _torch_states(torch)
    try:
        if module is not None:
            module.eval()
        if torch is None:
            yield
        else:
            # Not inference_mode: what a policy caches meanwhile may be used in training later.
            with torch.no_grad():
                yield
    finally:
        for part, mode in modes:
            part.training = mode
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002 - the trainer's own
        for restore, state in states:
            restore(state)


def _torch_states(torch: Any) -> list[tuple[Callable[[Any], None], Any]]:
    """Return (setter, state) of torch's generators; a device that is not in use yet stays so."""
    if torch is None:
        return []
    states = [(torch.set_rng_state, torch.get_rng_state())]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states.append((torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all()))
    return states


def weights_sha256(module: Any) -> str:
    """Hash the names, types, shapes and values of a torch module's state."""
    torch: Any = sys.modules["torch"]
    hasher = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if isinstance(value, torch.Tensor):
            plain = value.detach().contiguous().cpu()
            hasher.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
            hasher.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            hasher.update(f"{name} {value!r}".encode())
    return hasher.hexdigest()


def refuse_sharded(module: Any) -> None:
    """Raise UsageError if the weights of a torch module are spread over processes (FSDP, DTensor)."""
    if module is None:
        return
    parts = {type(part).__name__ for part in module.modules()}
    tensors = {type(tensor).__name__ for tensor in module.parameters()}
    if "FullyShardedDataParallel" in parts or "DTensor" in tensors:
        raise UsageError(
            "the module's weights are sharded over processes (FSDP), so no process can evaluate it in "
            "memory; save checkpoints, and evaluate them beside the training: vlaeval watch CHECKPOINTS"
        )


def on_one_rank[Result](run: Callable[[], Result]) -> Result:
    """Call on rank 0 of a distributed training, and return its result on every rank.

    Without a process group this calls ``run``. Otherwise every rank must come here: the others wait.

    Raises:
        InfrastructureError: on the other ranks, with the message of rank 0's exception.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return run()
    if distributed.get_world_size() == 1:
        return run()
    box: list[Any] = [None, ""]
    raised: Exception | None = None
    if distributed.get_rank() == 0:
        try:
            box[0] = run()
        except Exception as error:  # noqa: BLE001 - raised again below, when the others know of it
            raised, box[1] = error, f"{type(error).__name__}: {error}"
    distributed.broadcast_object_list(box, src=0)
    if raised is not None:
        raise raised
    if box[1]:
        raise InfrastructureError(f"rank 0 could not evaluate: {box[1]}")
    result: Result = box[0]
    return result
