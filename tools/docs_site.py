"""Writes the pages of the documentation's site: `make docs` calls it, and zensical builds the site from them.

docs/ is written for readers of the repository, so its links lead to files anywhere in it. Here every linked
file becomes a page of the site, and links lead there. A notebook's page is the executed one that
tools/notebooks.py wrote, if its folder is named.

    .venv-docs/bin/python tools/docs_site.py .site/pages .site/notebooks
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages outside docs/, with their places on the site."""
NOTEBOOKS = tuple(sorted((ROOT / "examples" / "notebooks").glob("*.py")))
GENERATED = ("api.md", *PAGES.values(), *(f"notebooks/{path.stem}.md" for path in NOTEBOOKS))
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_AS_THEY_ARE = (".png", ".svg", ".gif", ".jpg", ".webp", ".mp4", ".html")
"""Kinds of linked files that browsers show."""
_LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".json": "json", ".sh": "sh"}
_LONG = 60_000
"""Most characters of a linked file that its page shows."""


class Site:
    """The pages that were written, and those that their links still ask for."""

    def __init__(self, out: Path, notebooks: Path | None = None) -> None:
        self.out = out
        self.notebooks = notebooks
        self.places: dict[Path, str] = {}
        self.waiting: list[Path] = []

    def place_of(self, path: Path) -> str:
        """Return a file's or folder's place on the site, and have its page written.

        Raises:
            FileNotFoundError: the repository has no such file.
        """
        if path not in self.places:
            if not path.exists():
                raise FileNotFoundError(path)
            self.places[path] = self._new_place(path)
            self.waiting.append(path)
        return self.places[path]

    def _new_place(self, path: Path) -> str:
        name = path.relative_to(ROOT).as_posix()
        if path in NOTEBOOKS:
            return f"notebooks/{path.stem}.md"
        if path.suffix in _AS_THEY_ARE or (path.suffix == ".md" and name.startswith("docs/")):
            return name.removeprefix("docs/")
        return PAGES.get(name, f"files/{name.removesuffix('.md')}.md")

    def write_all(self) -> int:
        """Write every page that was asked for, and those that these ask for; return their number."""
        while self.waiting:
            path = self.waiting.pop()
            target = self.out / self.places[path]
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file() and target.suffix != ".md":
                shutil.copyfile(path, target)
            else:
                target.write_text(self._page(path), encoding="utf-8")
        return len(self.places)

    def _page(self, path: Path) -> str:
        if path in NOTEBOOKS and self.notebooks is not None:
            for picture in self.notebooks.glob(f"{path.stem}-*"):
                shutil.copyfile(picture, self.out / "notebooks" / picture.name)
            return (self.notebooks / f"{path.stem}.md").read_text(encoding="utf-8")
        if path.suffix == ".md":
            return self._relinked(path)
        name = path.relative_to(ROOT).as_posix()
        if path.is_dir():
            names = sorted(each for each in path.iterdir() if each.name[0] not in "._")
            if (path / "README.md").is_file():
                return self._relinked(path / "README.md")
            rows = [f"- {self._entry(each, self.places[path])}" for each in names]
            return f"# `{name}`\n\n" + "\n".join(rows) + "\n"
        text = path.read_text(encoding="utf-8")
        shown = text if len(text) <= _LONG else text[:_LONG] + "\n…"
        language = _LANGUAGES.get(path.suffix, "text")
        return f"# `{name}`\n\n````{language}\n{shown}\n````\n"

    def _entry(self, path: Path, place: str) -> str:
        """Return an entry of a folder's page; records are too large for a page."""
        if path.name == "episodes":
            return f"`{path.name}/`"
        return f"[{path.name}]({self._link(path, place)})"

    def _relinked(self, path: Path) -> str:
        """Return a page whose links lead to places on the site; code blocks are left alone."""
        text, at, parts = path.read_text(encoding="utf-8"), 0, []
        for block in [*_FENCE.finditer(text), None]:
            end = len(text) if block is None else block.start()
            parts.append(LINK.sub(lambda match: self._relink(match[0], path), text[at:end]))
            if block is not None:
                parts.append(block[0])
                at = block.end()
        return "".join(parts)

    def _relink(self, link: str, page: Path) -> str:
        target, hash_, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:") or not target:
            return link
        file = Path(os.path.normpath(page.parent / target))
        return self._link(file, self.places.get(page, "")) + hash_ + anchor

    def _link(self, file: Path, place: str) -> str:
        return os.path.relpath(self.place_of(file), os.path.dirname(place) or ".")  # noqa: PTH120 - a place on the site is no path


def api_page() -> str:
    """Return the page of the public interface: every name of `vla_eval.__all__` with its docstring."""
    tree = ast.parse((ROOT / "vla_eval" / "__init__.py").read_text(encoding="utf-8"))
    homes: dict[str, str] = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES"
    )
    names = "\n\n".join(f"::: vla_eval.{home}.{name}" for name, home in homes.items())
    head = "# Python\n\nThe names that `import vla_eval` offers. Other modules may change in any version.\n\n"
    return head + names + "\n"


def write_site(out: Path, notebooks: Path | None = None) -> int:
    """Write all pages into a new folder; return their number.

    Args:
        out: the folder.
        notebooks: folder of the executed notebooks; None: their pages show the code alone.

    Raises:
        FileNotFoundError: a page links to a file that the repository lacks.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    site = Site(out, notebooks)
    pages = [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / name for name in PAGES), *NOTEBOOKS]
    for page in pages:
        site.place_of(page)
    (out / "api.md").write_text(api_page(), encoding="utf-8")
    return site.write_all() + 1


if __name__ == "__main__":
    print(f"{write_site(*map(Path, sys.argv[1:]))} files in {sys.argv[1]}")
