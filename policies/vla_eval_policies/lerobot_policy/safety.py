"""Checks that a checkpoint names only LeRobot's steps and models, and no other code.

LeRobot imports and calls any object that a step's ``class`` names, and checks only afterwards that it
is a step. Transformers runs Python files of a repository wherever LeRobot sets ``trust_remote_code``.
So this module resolves every step before LeRobot does, and forbids such files; the options ``plugin``
and ``trust_remote_code`` allow them.
"""

from __future__ import annotations

import importlib
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from vla_eval.errors import PolicySpecError
from vla_eval.files.jsonfile import read_json

__all__ = ["approved_steps", "forbid_repository_code", "read_plain_json", "steps_of"]

_LEROBOT = "lerobot"
_NAMES_CODE = ("auto_map", "_target_", "__reduce__", "custom_generate")
"""Keys whose values common libraries import or call."""


def read_plain_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a checkpoint, and refuse it if it names code.

    Raises:
        PolicySpecError: the file cannot be read, or a key names code; gives the key's place.
    """
    content = read_json(path, wrong="is no file of a LeRobot checkpoint", error=PolicySpecError)
    for place, key, value in _entries(content, ""):
        if key in _NAMES_CODE:
            raise PolicySpecError(
                f"{path}, {place}: names code that would be run ({reprlib.repr(value)}); a checkpoint "
                "may hold weights and settings only, so remove it if the policy works without"
            )
    return content


def _entries(value: Any, place: str) -> Iterator[tuple[str, str, Any]]:
    """Yield place, key and value of all entries at any depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            there = f"{place}.{key}" if place else str(key)
            yield there, str(key), inner
            yield from _entries(inner, there)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _entries(inner, f"{place}.{position}")


def steps_of(path: Path) -> list[dict[str, Any]]:
    """Return the steps of a processor's file, each with its name and a map as ``config``.

    Raises:
        PolicySpecError: a step is malformed; names the file and the step, counted from 0.
    """
    steps = read_plain_json(path).get("steps")
    if not isinstance(steps, list):
        raise PolicySpecError(f"{path}: is no processor of LeRobot's (a list 'steps' is expected)")
    return [_step(path, number, step) for number, step in enumerate(steps)]


def _step(path: Path, number: int, step: Any) -> dict[str, Any]:
    entries = step if isinstance(step, dict) else {}
    config, state = entries.get("config", {}), entries.get("state_file", "state.safetensors")
    named = [isinstance(entries[key], str) for key in ("registry_name", "class") if key in entries]
    if not named or not all(named) or not isinstance(config, dict):
        raise PolicySpecError(
            f"{path}, step {number}: 'registry_name' or 'class' and a map 'config' are expected"
        )
    if not isinstance(state, str) or Path(state).name != state or "\0" in state:
        raise PolicySpecError(
            f"{path}, step {number}: state_file {reprlib.repr(state)} is no file beside this one"
        )
    return {**entries, "config": config}


def approved_steps(path: Path, plugin: str | None) -> dict[str, dict[str, Any]]:
    """Return a processor's steps; refuse all steps but LeRobot's own and those of a plug-in.

    Args:
        path: a processor's file.
        plugin: package whose steps are allowed besides LeRobot's.

    Returns:
        The arguments of each step, by the name that LeRobot uses to override them.

    Raises:
        PolicySpecError: a step is refused; names the file, the step and its class.
    """
    from lerobot.processor import ProcessorStep, ProcessorStepRegistry

    approved = {}
    for number, step in enumerate(steps_of(path)):
        name = step.get("registry_name")
        if name is not None:
            if name not in ProcessorStepRegistry.list():
                raise PolicySpecError(
                    f"{path}, step {number}: LeRobot knows no step {reprlib.repr(name)}; where a "
                    "plug-in brings it, install the plug-in"
                )
            approved[name] = step["config"]
            continue
        resolved = _resolve(step["class"], [_LEROBOT, *filter(None, [plugin])])
        if not isinstance(resolved, type) or not issubclass(resolved, ProcessorStep):
            raise PolicySpecError(
                f"{path}, step {number}: {reprlib.repr(step['class'])} is no processor step of "
                "LeRobot's, so it is not run; for a step of an installed package: plugin=PACKAGE"
            )
        approved[step["class"].rpartition(".")[2]] = step["config"]
    return approved


def _resolve(name: str, packages: list[str]) -> object:
    """Return the object of a dotted name in one of the packages; None for other packages."""
    module, _, attribute = name.rpartition(".")
    if not any(module == package or module.startswith(f"{package}.") for package in packages):
        return None
    try:
        return vars(importlib.import_module(module)).get(attribute)
    except ImportError:
        return None


def forbid_repository_code(where: str) -> None:
    """Forbid Transformers to run Python files of model repositories, for the rest of this process.

    Args:
        where: name of the policy in the message.
    """
    try:
        from transformers import dynamic_module_utils
    except ImportError:
        return  # without Transformers, nothing runs them

    def refuse(class_name: str, module_path: object, **_: object) -> NoReturn:
        raise PolicySpecError(
            f"{where}: it needs code that a model repository brings along ({class_name} of "
            f"{module_path}); read that code, then add trust_remote_code=true to run it"
        )

    dynamic_module_utils.get_class_in_module = refuse
