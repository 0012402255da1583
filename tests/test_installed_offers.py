"""One package that cannot be used does no harm to what the others offer."""

from __future__ import annotations

import sys

import pytest

from vla_eval import catalog, spec
from vla_eval.cli import main
from vla_eval.errors import PolicySpecError
from vla_eval.released import load_protocol, shipped_protocols

_PARTS = """
[vla_eval.envs]
bad = bad_parts:suites
[vla_eval.policies]
bad = bad_parts.none:Factory
[vla_eval.protocols]
bad = bad_parts
absent = not_there
"""


@pytest.fixture
def bad_package(tmp_path, monkeypatch):
    """An installed package with a suite that raises, a policy that is absent, and a wrong protocol."""
    package, about = tmp_path / "bad_parts", tmp_path / "bad_parts-1.dist-info"
    package.mkdir()
    about.mkdir()
    (package / "__init__.py").write_text("def suites():\n    raise OSError('broken')\n")
    (package / "a.toml").write_text("protocol = [")
    (package / "b.toml").write_text('protocol = "b"')
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-parts\nVersion: 1\n")
    (about / "entry_points.txt").write_text(_PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    catalog.suites.cache_clear()
    spec.policy_kinds.cache_clear()
    yield
    catalog.suites.cache_clear()
    spec.policy_kinds.cache_clear()
    sys.modules.pop("bad_parts", None)


@pytest.mark.usefixtures("bad_package")
def test_suites_of_others_stay():
    """The broken one is left out, and a warning names it with its reason."""
    with pytest.warns(UserWarning, match="'bad' .*left out: OSError: broken"):
        assert {"so101", "lekiwi"} <= {suite.name for suite in catalog.suites()}


@pytest.mark.usefixtures("bad_package")
@pytest.mark.filterwarnings("ignore:an installed package offers")
def test_protocols_of_others_stay():
    """An invalid file, a file that is no TOML and a missing package leave the shipped ones as they are."""
    assert {"so101-pick-place", "libero-smoke"} <= {each.protocol for each in shipped_protocols()}
    assert load_protocol("so101-pick-place").version == 2


@pytest.mark.usefixtures("bad_package")
def test_a_wrong_protocol_is_named():
    """The warning says which file it is, and what is wrong with it."""
    with pytest.warns(UserWarning, match="an installed package offers") as warned:
        shipped_protocols()
    texts = [str(each.message) for each in warned]
    assert any("b.toml" in text for text in texts)
    assert any("a.toml" in text for text in texts)
    assert any("not_there" in text for text in texts)


@pytest.mark.usefixtures("bad_package")
def test_policies_of_others_stay(capsys):
    """The list has the others, and says which one is left out; a spec that names it gets a sentence."""
    assert main(["list", "policies"]) == 0
    said = capsys.readouterr()
    assert "expert" in said.out
    assert "left out: policy kind 'bad'" in said.err
    with pytest.raises(PolicySpecError, match="of an installed package cannot be loaded"):
        spec.build_policy("bad")
