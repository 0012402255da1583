"""Lets `python -m vlaeval_launcher` do what `vlaeval` does."""

from __future__ import annotations

import sys

from vlaeval_launcher import main

if __name__ == "__main__":
    sys.exit(main())
