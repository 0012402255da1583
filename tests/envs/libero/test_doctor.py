"""The doctor's checks of LIBERO: what fails is said, with what to do."""

from __future__ import annotations

import numpy as np

from vla_eval_envs.libero import doctor


def test_pictures_that_differ_are_found(monkeypatch):
    """Where another driver draws otherwise, the check fails and names the option that avoids it."""
    pictures = {drawing: np.zeros((8, 4, 4, 3), np.uint8) for drawing in ("exact", "plain")}
    pictures["exact"][3, 0, 0, 0] = 1
    monkeypatch.setattr(doctor, "_drawn", pictures.__getitem__)
    for name in ("_packages", "_assets", "_scene"):
        monkeypatch.setattr(doctor, name, str)
    name, ok, detail, remedy = doctor.checks()[-1]
    assert (name, ok) == ("LIBERO pictures", False)
    assert "1 of 8 pictures are not those of the whole scene" in detail
    assert 'drawing = "plain"' in remedy
    pictures["exact"][3, 0, 0, 0] = 0
    assert doctor.checks()[-1][1:3] == (True, "8 pictures equal those of the whole scene")
