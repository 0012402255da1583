"""The local crew and the scripted one keep the contract of a crew; Ray's does in test_ray_crew.py."""

from __future__ import annotations

import pytest

from fakes.contract import CrewContract
from fakes.crew import ScriptedCrew
from vla_eval.engine.local import LocalCrew
from vla_eval.engine.session import RunSession


@pytest.mark.long
class TestLocal(CrewContract):
    @pytest.fixture
    def make(self):
        made = []

        def build(folder):
            made.append(LocalCrew(folder, RunSession(folder.episodes), 1))
            return made[0]

        yield build
        made[0].close([])


class TestScripted(CrewContract):
    @pytest.fixture
    def make(self):
        def build(folder):
            fates = {1: "die", 2: "nothing"}
            crew = ScriptedCrew(
                lambda state, attempt: fates.get(state, "end"), hosted=["a"], slots=1
            )
            crew.protocol_sha256 = folder.header.protocol_sha256
            return crew

        return build
