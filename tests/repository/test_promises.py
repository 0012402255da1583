"""The page of promises names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "what-a-certificate-promises.md").read_text()


def test_every_promise_names_what_shows_it():
    """Each row has a test or a bar, and each test that is named is there."""
    rows = [row for row in PAGE.splitlines() if row.startswith("| ") and "| shown by |" not in row]
    assert len(rows) > 20
    assert all("::test_" in row or "make validate" in row for row in rows)
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE):
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"


def test_every_section_of_the_validation_that_is_named_exists():
    """What the page says of `make validate` stands as a section of validation.md."""
    validation = (ROOT / "docs" / "validation.md").read_text()
    for title in re.findall(r'make validate`, "([^"]+)"', PAGE):
        assert f"## {title}" in validation, title
