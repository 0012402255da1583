"""Policy specs: one syntax for every policy, ``KIND[:TARGET][?key=value&…]``.

``expert`` · ``random`` · ``flow:student.safetensors?nfe=1`` ·
``impaired:expert?action_noise=0.2`` · ``my_package.policies:make?horizon=8``

KIND is a name of the entry-point group ``vla_eval.policies``, or else an importable module whose
``factory`` is a :class:`~vla_eval.policy.PolicyFactory`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from vla_eval.errors import PolicySpecError, did_you_mean
from vla_eval.files.complaints import first_complaint
from vla_eval.policy import (
    Placement,
    Policy,
    PolicyFactory,
    PolicyMetadata,
    SharesCheckpoint,
    is_policy,
)
from vla_eval.realtime.latency import VirtualTime

__all__ = [
    "PolicySpec",
    "build_policy",
    "code_sha256",
    "identity_of",
    "load_factory",
    "parse_options",
    "placement_of",
    "policy_kinds",
    "resolve",
    "shared_key_of",
]


@dataclass(frozen=True)
class PolicySpec:
    """A parsed spec."""

    kind: str
    target: str | None
    options: Mapping[str, str]
    text: str

    @classmethod
    def parse(cls, text: str) -> PolicySpec:
        """Split ``KIND[:TARGET][?key=value&…]``; raise PolicySpecError if that fails."""
        head, question, query = text.strip().partition("?")
        kind, colon, target = head.partition(":")
        if not kind or (colon and not target) or (question and not query):
            raise PolicySpecError(
                f"policy '{text}': expected KIND[:TARGET][?key=value&…], "
                "for example 'impaired:expert?action_noise=0.2'"
            )
        try:
            # A plus is a plus here (1e+5), not the space that it is in web forms.
            query = query.replace("+", "%2B")
            pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if query else []
        except ValueError:
            raise PolicySpecError(
                f"policy '{text}': the part after '?' must be key=value pairs joined by '&'"
            ) from None
        options = dict(pairs)
        if len(options) != len(pairs):
            raise PolicySpecError(f"policy '{text}': an option is given twice")
        return cls(kind, target or None, options, text.strip())


@functools.cache
def policy_kinds() -> dict[str, EntryPoint]:
    """Return the entry points of the installed policy kinds, sorted by name."""
    kinds = entry_points(group="vla_eval.policies")
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.name)}


def load_factory(kind: EntryPoint) -> PolicyFactory:
    """Import the factory of an installed kind; raise PolicySpecError if that fails."""
    try:
        loaded = kind.load()
        factory: PolicyFactory = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:
        raise PolicySpecError(
            f"policy kind '{kind.name}' ({kind.value}) of an installed package cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from error
    return factory


def resolve(text: str) -> tuple[PolicyFactory, str | None, Mapping[str, str]]:
    """Return the factory that a spec names, its target and its options.

    Raises:
        PolicySpecError: unknown kind or module, or a module that cannot be used.
    """
    spec = PolicySpec.parse(text)
    kinds = policy_kinds()
    if spec.kind in kinds:
        return load_factory(kinds[spec.kind]), spec.target, spec.options
    if spec.target and _is_module(spec.kind):
        return _factory_of_module(spec.kind, spec.target, spec.text), None, spec.options
    hint = did_you_mean(spec.kind, kinds)
    if spec.target:
        hint += (
            f" (nor can a module '{spec.kind}' be imported; PYTHONPATH=. finds one in this folder)"
        )
    raise PolicySpecError(f"policy '{spec.text}': there is no kind '{spec.kind}'{hint}")


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _factory_of_module(module_name: str, attribute: str, text: str) -> PolicyFactory:
    with redirect_stdout(sys.stderr):
        try:
            factory = getattr(importlib.import_module(module_name), attribute)
        except AttributeError:
            raise PolicySpecError(
                f"policy '{text}': module '{module_name}' has no '{attribute}'"
            ) from None
        except Exception as error:
            raise PolicySpecError(
                f"policy '{text}': importing module '{module_name}' failed: "
                f"{type(error).__name__}: {error}"
            ) from error
    if not callable(factory) or not hasattr(factory, "placement"):
        raise PolicySpecError(
            f"policy '{text}': '{attribute}' is no PolicyFactory "
            "(it needs 'help', 'placement(target)' and __call__(target, options))"
        )
    made: PolicyFactory = factory() if isinstance(factory, type) else factory
    return made


def placement_of(text: str) -> Placement:
    """Return the placement of the policy that a spec names; raise PolicySpecError if it has none."""
    factory, target, _ = resolve(text)
    try:
        place = factory.placement(target)
    except PolicySpecError:
        raise
    except Exception as error:
        raise PolicySpecError(
            f"policy '{text}': placement(target) failed: {type(error).__name__}: {error}"
        ) from error
    if place not in ("worker", "host"):
        raise PolicySpecError(f"policy '{text}': placement is {place!r}, not 'worker' or 'host'")
    return place


def shared_key_of(text: str) -> str:
    """Return a text that is equal for specs whose policies share one loaded checkpoint."""
    factory, target, options = resolve(text)
    key = factory.shared_key(target, options) if isinstance(factory, SharesCheckpoint) else None
    return text if key is None else f"{PolicySpec.parse(text).kind}:{key}"


def build_policy(text: str) -> Policy:
    """Build the policy that a spec names.

    Raises:
        PolicySpecError: the spec cannot be used, or its factory builds no policy.
    """
    factory, target, options = resolve(text)
    policy = factory(target, options)
    if not is_policy(policy):
        raise PolicySpecError(
            f"policy '{text}': the factory made a {type(policy).__name__} without "
            "'metadata' (a PolicyMetadata) and 'infer(observations, contexts)'"
        )
    return policy


def code_sha256(text: str) -> str:
    """Hash the code behind a spec: the Python files of its factory's package, or its module's file.

    All sessions of one run must have the same code. For a wrapper, the wrapped policy's code counts too.
    """
    factory, target, _ = resolve(text)
    module = (factory if isinstance(factory, type) else type(factory)).__module__
    package = sys.modules[module.partition(".")[0]]
    paths = [Path(folder) for folder in getattr(package, "__path__", [])]
    files = sorted(file for path in paths for file in path.rglob("*.py"))
    if not files and getattr(package, "__file__", None):
        files = [Path(str(package.__file__))]
    hasher = hashlib.sha256()
    for file in files:
        hasher.update(file.read_bytes())
    if target is not None:
        with suppress(PolicySpecError):
            hasher.update(code_sha256(target).encode())
    return hasher.hexdigest()


def identity_of(
    text: str, metadata: PolicyMetadata, virtual: VirtualTime | None = None
) -> dict[str, Any]:
    """Return an arm's identity, as ``run.json`` stores and hashes it: metadata, code and spec.

    In virtual time the latency belongs to it: one policy at two latencies makes two arms.
    """
    fields: dict[str, Any] = json.loads(json.dumps(asdict(metadata)))
    latency = {} if virtual is None else {"realtime": virtual.latency.identity()}
    return {**fields, "code_sha256": code_sha256(text), "spec": text, **latency}


def parse_options[Options: BaseModel](
    model: type[Options], options: Mapping[str, Any], kind: str
) -> Options:
    """Validate a factory's options against a pydantic model (which should forbid extra keys).

    Raises:
        PolicySpecError: names the option, its fault and the nearest known name.
    """
    unknown = [name for name in options if name not in model.model_fields]
    if unknown:
        hint = did_you_mean(unknown[0], model.model_fields) or "; it takes none"
        raise PolicySpecError(f"policy kind '{kind}' has no option '{unknown[0]}'{hint}")
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        raise PolicySpecError(f"policy kind '{kind}', options: {first_complaint(error)}") from None
