"""A tracker that appends lines of JSON to a file."""

import json
from pathlib import Path


class LinesFactory:
    """``lines[:FILE]``."""

    help = "lines of JSON; lines[:FILE]"

    def __call__(self, target, options, facts):
        """Open the file for one arm of a run."""
        return Lines(Path(target or "runs/lines.jsonl"), facts)


class Lines:
    """The open file of one arm."""

    def __init__(self, file, facts):
        self.about = {"run": facts.identity, "arm": facts.arm}
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file.open("a", encoding="utf-8")

    def point(self, step, numbers):
        """Write the rates and differences of a step, each with both ends of its interval."""
        self.write({"step": step, **numbers})

    def finish(self, facts):
        """Write the tables; a report and videos are there too."""
        self.write({table.name: [table.columns, *table.rows] for table in facts.tables})

    def close(self):
        """Close the file, after an error too."""
        self.file.close()

    def write(self, content):
        """Write one line."""
        print(json.dumps(self.about | content), file=self.file, flush=True)
