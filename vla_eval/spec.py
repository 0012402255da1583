"""Policy specs: one syntax for every policy, ``KIND[:TARGET][?key=value&…]``.

``expert`` · ``random`` · ``flow:student.safetensors?nfe=1`` ·
``impaired:expert?action_noise=0.2`` · ``my_package.policies:make?horizon=8``

KIND is a name of the entry-point group ``vla_eval.policies``, or else an importable module whose
``factory`` is a :class:`~vla_eval.policy.PolicyFactory`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError

from vla_eval.errors import PolicySpecError, did_you_mean
from vla_eval.policy import Policy, PolicyFactory

__all__ = [
    "PolicySpec",
    "build_policy",
    "find_factory",
    "load_factory",
    "parse_options",
    "policy_kinds",
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
        """Split ``KIND[:TARGET][?key=value&…]``; raises PolicySpecError."""
        head, question, query = text.strip().partition("?")
        kind, colon, target = head.partition(":")
        if not kind or (colon and not target) or (question and not query):
            raise PolicySpecError(
                f"policy '{text}': expected KIND[:TARGET][?key=value&…], "
                "for example 'impaired:expert?action_noise=0.2'"
            )
        try:
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
    """Return what the installed policy kinds are named, and where their factories are."""
    found = entry_points(group="vla_eval.policies")
    return {each.name: each for each in sorted(found, key=lambda each: each.name)}


def load_factory(kind: EntryPoint) -> PolicyFactory:
    """Import the factory of an installed kind."""
    loaded = kind.load()
    factory: PolicyFactory = loaded() if isinstance(loaded, type) else loaded
    return factory


def find_factory(spec: PolicySpec) -> PolicyFactory:
    """Return the factory that a spec names, or raise PolicySpecError."""
    kinds = policy_kinds()
    if spec.kind in kinds:
        return load_factory(kinds[spec.kind])
    if spec.target and _is_module(spec.kind):
        return _factory_of_module(spec.kind, spec.target, spec.text)
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
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except ImportError as error:
        raise PolicySpecError(
            f"policy '{text}': module '{module_name}' cannot be imported ({error})"
        ) from error
    except AttributeError:
        raise PolicySpecError(
            f"policy '{text}': module '{module_name}' has no '{attribute}'"
        ) from None
    if not callable(factory) or not hasattr(factory, "placement"):
        raise PolicySpecError(
            f"policy '{text}': '{attribute}' is no PolicyFactory "
            "(it needs 'help', 'placement(target)' and __call__(target, options))"
        )
    made: PolicyFactory = factory() if isinstance(factory, type) else factory
    return made


def build_policy(text: str) -> Policy:
    """Build the policy that a spec names; raises PolicySpecError."""
    spec = PolicySpec.parse(text)
    factory = find_factory(spec)
    target = spec.target if spec.kind in policy_kinds() else None
    return factory(target, spec.options)


def parse_options[Options: BaseModel](
    model: type[Options], options: Mapping[str, Any], kind: str
) -> Options:
    """Validate a factory's options against a pydantic model (which should forbid extra keys).

    Raises:
        PolicySpecError: naming the option, what is wrong with it, and the nearest known name.
    """
    unknown = [name for name in options if name not in model.model_fields]
    if unknown:
        hint = did_you_mean(unknown[0], model.model_fields) or "; it takes none"
        raise PolicySpecError(f"policy kind '{kind}' has no option '{unknown[0]}'{hint}")
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "options"
        raise PolicySpecError(
            f"policy kind '{kind}', option '{place}': {first['msg']} (got {first['input']!r})"
        ) from None
