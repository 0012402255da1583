"""Child processes and their supervisor."""

from __future__ import annotations

from multiprocessing import Pipe

import pytest

from vla_eval.engine.process import tell
from vla_eval.errors import EXIT_INTERRUPTED


def test_a_message_reaches_the_supervisor():
    """As it is."""
    here, there = Pipe()
    tell(there, ("ready", 3))
    assert here.recv() == ("ready", 3)


def test_a_process_without_a_supervisor_ends_in_silence():
    """Ctrl-C while workers start closes their pipe; a traceback of each would bury the one sentence."""
    here, there = Pipe()
    here.close()
    with pytest.raises(SystemExit) as ended:
        tell(there, "ready")
    assert ended.value.code == EXIT_INTERRUPTED
    assert ended.value.__cause__ is None
    assert ended.value.__suppress_context__
