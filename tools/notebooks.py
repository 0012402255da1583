"""Executes the notebooks of examples/notebooks, and writes each as a page with its pictures: `make docs` calls it.

    .venv-docs/bin/python tools/notebooks.py .site/notebooks

They are Python files in the percent format, which editors open as notebooks (jupytext) and tests run as scripts. A
cell that raises ends this with its traceback.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbconvert import MarkdownExporter

NOTEBOOKS = Path(__file__).parents[1] / "examples" / "notebooks"
LONGEST_S = 300
"""Longest time of one cell."""


def write_page(source: Path, out: Path) -> None:
    """Execute one notebook in an empty folder, and write OUT/NAME.md with its pictures beside it."""
    notebook = jupytext.read(source)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook, timeout=LONGEST_S, resources={"metadata": {"path": folder}}
        ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":  # progress and warnings are for a terminal
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    page, resources = MarkdownExporter().from_notebook_node(notebook)
    for number, (name, content) in enumerate(resources["outputs"].items()):
        picture = f"{source.stem}-{number}{Path(name).suffix}"
        (out / picture).write_bytes(content)
        page = page.replace(f"]({name})", f"]({picture})")
    (out / f"{source.stem}.md").write_text(page, encoding="utf-8")


def main(out: Path) -> None:
    """Execute all notebooks."""
    out.mkdir(parents=True, exist_ok=True)
    for source in sorted(NOTEBOOKS.glob("*.py")):
        write_page(source, out)
        print(f"{source.name} executed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
