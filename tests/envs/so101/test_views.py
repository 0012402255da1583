"""What the SO-101 cameras show, and whether the task's documentation says what is true."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator

import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence

from vla_eval_envs.manipulation.variations import Levels
from vla_eval_envs.so101.catalog import suites
from vla_eval_envs.so101.pick_place import PickPlace
from vla_eval_envs.so101.units import FEATURE_NAMES

TASK = suites()[0].task("PickPlace")


@pytest.fixture
def env() -> Iterator[PickPlace]:
    made = PickPlace(image_size=64)
    yield made
    made.close()


def test_cameras_see_the_scene():
    """The top camera sees the red block in every state; both pictures are of the asked size."""
    env = PickPlace(image_size=128)
    for index in range(0, TASK.init_states, 20):
        observation, _ = env.reset(options={"init_state": index})
        for pixels in observation["pixels"].values():
            assert pixels.shape == (128, 128, 3)
            assert pixels.std() > 10
        top = observation["pixels"]["top"].astype(int)
        red = (top[..., 0] > 150) & (top[..., 1] < 90) & (top[..., 2] < 90)
        assert red.sum() > 20
    env.close()


def test_image_size_and_shadows_change_pictures_only():
    """Scene and model are the same whatever the pictures look like."""
    plain, fancy = PickPlace(image_size=48), PickPlace(image_size=96, shadows=True)
    first, info = plain.reset(options={"init_state": 0})
    second, fancy_info = fancy.reset(options={"init_state": 0})
    assert second["pixels"]["top"].shape == (96, 96, 3)
    assert info == fancy_info
    np.testing.assert_array_equal(first["agent_pos"], second["agent_pos"])
    plain.close()
    fancy.close()


@pytest.mark.parametrize("kwargs", [{"image_size": 0}, {"render_mode": "film"}])
def test_bad_arguments_are_refused(kwargs):
    """The error names the argument."""
    with pytest.raises(ValueError, match=next(iter(kwargs))):
        PickPlace(**kwargs)


def test_render_gives_a_side_view():
    """In render mode rgb_array, and the policy's pictures do not change by it."""
    env = PickPlace(image_size=64, render_mode="rgb_array")
    before, _ = env.reset(options={"init_state": 0})
    view = env.render()
    assert view is not None
    assert view.shape == (480, 640, 3)
    assert view.dtype == np.uint8
    assert view.std() > 10
    assert data_equivalence(env.observe(), before, exact=True)
    env.close()
    assert PickPlace().render() is None


def test_gl_context_comes_with_the_first_look_and_goes_with_close(env):
    """Building needs no GL; closing twice does no harm."""
    assert env._cameras._fast is None
    env.reset(seed=0)
    assert env._cameras._fast is not None
    env.close()
    env.close()
    assert env._cameras._fast is None


def _table(heading: str) -> list[list[str]]:
    doc = inspect.getdoc(PickPlace) or ""
    section = doc.split(f"## {heading}")[1].split("## ")[0]
    rows = [line.strip("| \n").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_documented_bounds_are_the_spaces(env):
    """Tables in the docstring: index, name, min and max of action and state."""
    spaces = {
        "Action Space": env.action_space,
        "Observation Space": env.observation_space["agent_pos"],
    }
    for heading, space in spaces.items():
        rows = _table(heading)
        assert [int(row[0]) for row in rows] == list(range(6))
        assert [row[1] for row in rows] == list(FEATURE_NAMES)
        np.testing.assert_allclose([float(row[2]) for row in rows], space.low, rtol=1e-6)
        np.testing.assert_allclose([float(row[3]) for row in rows], space.high, rtol=1e-6)


def test_documented_arguments_are_the_signatures():
    """Names and defaults of the constructor; the robustness options are named in one row."""
    parameters = list(inspect.signature(PickPlace.__init__).parameters.values())[1:]
    *rows, levels = _table("Arguments")
    documented = [(row[0], row[1].replace('"', "'")) for row in rows]
    assert documented == [(each.name, repr(each.default)) for each in parameters[:-1]]
    assert levels[0] == parameters[-1].name == "levels"
    assert all(f"``{field.name}``" in levels[2] for field in dataclasses.fields(Levels))
