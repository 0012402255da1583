"""Reading a file of claims, with errors that name the claim and the key."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vla_eval.audit.schema import ClaimsFile
from vla_eval.errors import UsageError
from vla_eval.files.complaints import complaint
from vla_eval.files.plain import whole_number
from vla_eval.files.tomlfile import parse_toml, read_toml

__all__ = ["parse_claims", "read_claims", "shipped_claims"]


def read_claims(path: Path) -> ClaimsFile:
    """Read a file of claims.

    Raises:
        UsageError: the file is missing, no TOML or no file of claims; gives the path of the wrong key.
    """
    return _claims(read_toml(path, error=UsageError), str(path))


def shipped_claims() -> ClaimsFile:
    """Return the claims that come with this package: published parity and speed-up claims."""
    text = files("vla_eval.audit").joinpath("published.toml").read_text(encoding="utf-8")
    return parse_claims(text, "published.toml")


def parse_claims(text: str, where: str) -> ClaimsFile:
    """Parse the text of a file of claims; raises the errors of `read_claims`.

    Args:
        text: TOML.
        where: the file's name, for messages.
    """
    return _claims(parse_toml(text, where, error=UsageError), where)


def _claims(content: dict[str, Any], where: str) -> ClaimsFile:
    try:
        return ClaimsFile.model_validate(content)
    except ValidationError as error:
        item = error.errors()[0]
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        place = _place([str(part) for part in item["loc"]], content) or "the file"
        raise UsageError(f"{where}: {complaint(item, place)}{more}") from None


def _place(parts: list[str], data: dict[str, Any]) -> str:
    """Return the path of a key, with the claim's id instead of its number."""
    number = whole_number(parts[1]) if len(parts) > 1 and parts[0] == "claims" else None
    if number is not None:
        claims: Any = data.get("claims")
        entry = claims[number] if isinstance(claims, list) else None
        name = entry.get("id", parts[1]) if isinstance(entry, dict) else parts[1]
        # The third part is the kind, the discriminator of the union.
        parts = [f"claim '{name}'", *parts[3:]]
    return ".".join(parts)
