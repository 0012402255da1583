"""The documentation's site: every page is in its navigation, and every link and anchor leads somewhere."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    """tools/docs_site.py, as a module."""
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "tools" / "docs_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(tool, tmp_path_factory) -> Path:
    """The folder of pages that the site is built from."""
    out = tmp_path_factory.mktemp("site") / "pages"
    tool.write_site(out)
    return out


def navigation() -> list[str]:
    """The pages that mkdocs.yml names."""
    _, _, nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")
    return re.findall(r": (\S+\.md)$", nav, flags=re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site's builder name them."""
    found: set[str] = set()
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return found | set(re.findall(r'(?:id|name)="([^"]+)"', text))


def links(page: Path, tool) -> list[str]:
    """The links of a page, without those in code blocks and those to other hosts."""
    text = tool._FENCE.sub("", page.read_text())
    return [link for link in tool.LINK.findall(text) if "://" not in link and "mailto:" not in link]


def test_every_page_is_in_the_navigation_once(tool):
    """docs/, and the pages that are made for the site; nothing else."""
    wanted = [file.name for file in (ROOT / "docs").glob("*.md")] + list(tool.GENERATED)
    assert sorted(navigation()) == sorted(wanted)


def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(pages, tool):
    """Links to files anywhere in the repository lead to pages of the site."""
    broken, seen = [], 0
    for page in pages.rglob("*.md"):
        for link in links(page, tool):
            target, _, anchor = link.partition("#")
            file, seen = (page.parent / target if target else page), seen + 1
            if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
                broken.append(f"{page.relative_to(pages)}: {link}")
    assert seen > 200
    assert broken == []


def test_a_link_to_nowhere_stops_the_site(tool, tmp_path, monkeypatch):
    """A page with such a link is not built."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("[there](../none.py)")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    site = tool.Site(tmp_path / "out")
    site.place_of(tmp_path / "docs" / "a.md")
    with pytest.raises(FileNotFoundError):
        site.write_all()


def test_a_wrong_anchor_would_be_noticed():
    """The check of anchors can fail."""
    assert anchors("# A gate in CI\n```\n# no heading\n```\n## `x` and [y](z.md)") == {
        "a-gate-in-ci",
        "x-and-y",
    }


def test_code_blocks_are_left_alone(pages):
    """What looks like a link in code stays as it is."""
    text = (pages / "files" / "examples" / "plugin" / "point_suite" / "env.py.md").read_text()
    assert "````python" in text
    assert (ROOT / "examples/plugin/point_suite/env.py").read_text() in text


def test_the_public_names_have_their_page(pages):
    """Every name of `vla_eval.__all__` is documented, by the module that holds it."""
    import vla_eval

    text = (pages / "api.md").read_text()
    named = re.findall(r"^::: vla_eval\.[\w.]+\.(\w+)$", text, flags=re.MULTILINE)
    assert sorted(named) == sorted(vla_eval.__all__)
