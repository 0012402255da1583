"""Python runs this where a process starts. If a test has started it, its functions are noted, too."""

import os

if "MUTANTS_NOTES" in os.environ:
    import noting

    _out = noting.opened(os.environ["MUTANTS_NOTES"])
    noting.watch(os.environ["MUTANTS_ROOT"], lambda: _out)
