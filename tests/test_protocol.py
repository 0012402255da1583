"""Protocols: what is refused and in which words; hashes; released files; plans and shards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla_eval.errors import ProtocolError, UsageError
from vla_eval.files.tomlfile import read_toml
from vla_eval.keys import EpisodeKey
from vla_eval.plan import Shard, expand, take_shard
from vla_eval.protocol import parse_protocol
from vla_eval.released import load_protocol, lock_releases, shipped_protocols


@pytest.fixture
def data(protocol_file):
    return read_toml(protocol_file())


def test_a_valid_file_is_read(protocol_file):
    """A protocol file becomes a frozen model with defaults filled in."""
    protocol = load_protocol(str(protocol_file()))
    assert protocol.label == "fake@1"
    assert protocol.run.limits.retries == 2
    with pytest.raises(Exception, match="frozen"):
        protocol.version = 2


BAD = [
    (("blocks", 0, "max_step"), 5, "unknown key 'blocks.0.max_step'; did you mean 'max_steps'?"),
    (
        ("run", "n_action_step"),
        5,
        "unknown key 'run.n_action_step'; did you mean 'n_action_steps'?",
    ),
    (("colour",), "red", "unknown key 'colour'; known: analysis, blocks"),
    (("run", "limits", "retires"), 1, "did you mean 'retries'?"),
    (("blocks", 0, "max_steps"), "many", "blocks.0.max_steps: Input should be a valid integer"),
    (("blocks", 0, "max_steps"), 0, "blocks.0.max_steps: Input should be greater than or equal"),
    (("blocks", 0, "env_id"), "CartPole-v1", "blocks.0.env_id"),
    (("blocks", 0, "tasks"), ["a", "a"], "tasks names an entry twice"),
    (("blocks", 0, "init_states"), [], "init_states is empty"),
    (("analysis", "margin"), 5.0, "analysis.margin: Input should be less than 1"),
    (("version",), True, "version: Input should be a valid integer"),
    (("run", "policy_seeds"), [0, 1], "repeats of one state are not independent pairs"),
    (("run", "env_seeds"), [1, 1], "run.env_seeds must hold different seeds"),
    (("run", "order"), "random", "run.order"),
    (("schema_version",), 2, "schema_version"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD)
def test_mistakes_are_named_with_their_place(data, path, value, message):
    """Unknown keys, wrong types and contradictions say where they are and what was expected."""
    node = data
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    with pytest.raises(ProtocolError) as caught:
        parse_protocol(data, "my.toml")
    assert str(caught.value).startswith("my.toml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_key_and_doubled_task(data):
    """A missing key is named; a task in two blocks is a contradiction."""
    doubled = data | {"blocks": data["blocks"] * 2}
    with pytest.raises(ProtocolError, match="'Point' of suite 'fake' is in two blocks"):
        parse_protocol(doubled, "my.toml")
    del data["analysis"]["margin"]
    with pytest.raises(ProtocolError, match=r"'analysis\.margin' is missing"):
        parse_protocol(data, "my.toml")


def test_unreadable_files(tmp_path):
    """No file, no TOML, no text: one sentence each."""
    with pytest.raises(ProtocolError, match="there is no such file"):
        load_protocol(str(tmp_path / "none.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("a = [1,")
    with pytest.raises(ProtocolError, match="not valid TOML"):
        load_protocol(str(broken))
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ProtocolError, match="cannot be read as a text file"):
        load_protocol(str(broken))
    with pytest.raises(ProtocolError, match="did you mean 'so101-quickstart'"):
        load_protocol("so101-quikstart")


def test_hash_ignores_form_and_sees_content(data):
    """Comments and key order do not change the hash; any value does."""
    original = parse_protocol(data, "a").sha256
    assert parse_protocol(dict(reversed(data.items())), "b").sha256 == original
    data["blocks"][0]["max_steps"] += 1
    assert parse_protocol(data, "c").sha256 != original


def test_hash_is_canonical(data):
    """The canonical form has sorted keys, no spaces and no None, and reads back as itself."""
    protocol = parse_protocol(data, "a")
    text = protocol.canonical_json()
    assert " " not in text.replace("a point on a line", "").replace(
        "difference in success rate", ""
    ).replace("a test", "")
    assert "null" not in text
    assert parse_protocol(json.loads(text), "b") == protocol


def test_overrides_change_the_hash_and_are_remembered(protocol_file):
    """A command-line override is part of the protocol: other hash, marked as modified."""
    path = str(protocol_file())
    plain = load_protocol(path)
    changed = load_protocol(path, overrides=["blocks.0.max_steps=7", "run.limits.retries=0"])
    assert changed.blocks[0].max_steps == 7
    assert changed.sha256 != plain.sha256
    assert changed.label == "fake@1+modified"
    assert changed.overrides == {"blocks.0.max_steps": "7", "run.limits.retries": "0"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("blocks.0.max_steps", "expected KEY.PATH=VALUE"),
        ("blocks.3.max_steps=1", "'3' is no position in a list of 1"),
        ("protocol.x=1", "'protocol' is a value and has nothing inside it"),
        ("run.n_action_stepz=1", "unknown key 'run.n_action_stepz'"),
    ],
)
def test_bad_overrides(protocol_file, override, message):
    """An override that cannot be applied says why."""
    with pytest.raises(ProtocolError) as caught:
        load_protocol(str(protocol_file()), overrides=[override])
    assert message in str(caught.value)


def test_released_protocols_are_locked(tmp_path, protocol_file):
    """The lock takes new protocols and refuses an edited one."""
    path = protocol_file()
    assert lock_releases(tmp_path) == ["fake@1"]
    assert lock_releases(tmp_path) == []
    path.write_text(path.read_text().replace("max_steps = 40", "max_steps = 41"))
    with pytest.raises(ProtocolError, match="must not be edited"):
        lock_releases(tmp_path)


def test_a_file_cannot_pose_as_a_release(tmp_path):
    """A copy of a released protocol with another content is refused, wherever it lies."""
    import vla_eval_protocols

    source = Path(vla_eval_protocols.__path__[0]) / "so101-quickstart.toml"
    copy = tmp_path / "copy.toml"
    copy.write_text(source.read_text())
    assert load_protocol(str(copy)).sha256 == load_protocol("so101-quickstart").sha256
    copy.write_text(source.read_text().replace("count = 30", "count = 31"))
    with pytest.raises(ProtocolError, match=r"so101-quickstart@1 is released .* give your version"):
        load_protocol(str(copy))


def test_every_shipped_protocol_is_locked_and_plausible():
    """Each shipped protocol is released, states its source, and expands to different keys."""
    import vla_eval_protocols

    lock = json.loads((Path(vla_eval_protocols.__path__[0]) / "released.lock.json").read_text())
    protocols = shipped_protocols()
    names = {each.protocol for each in protocols}
    assert {"so101-quickstart", "so101-pick-place", "libero-spatial", "libero-smoke"} <= names
    for each in protocols:
        assert lock[each.protocol][str(each.version)] == each.sha256
        keys = [episode.key for episode in expand(each)]
        assert len(set(keys)) == len(keys)


def test_plan_is_a_pure_function_in_stated_order(protocol_file):
    """by-task keeps tasks together; round-robin balances every prefix over tasks."""
    path = str(protocol_file(count=3))
    two = 'blocks.0.tasks=["Point","Plain"]'
    plan = expand(load_protocol(path, overrides=[two]))
    assert [each.key.task for each in plan] == ["Point"] * 3 + ["Plain"] * 3
    plan = expand(load_protocol(path, overrides=[two, "run.order=round-robin"]))
    assert [each.key.task for each in plan] == ["Point", "Plain"] * 3
    assert [each.key.init_state for each in plan] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_a_partition(protocol_file, count):
    """Shards are disjoint, complete, and differ in size by one at most."""
    plan = expand(load_protocol(str(protocol_file(count=20))))
    shards = [take_shard(plan, Shard(i + 1, count)) for i in range(count)]
    assert sorted(each.key for shard in shards for each in shard) == sorted(e.key for e in plan)
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("order", ["by-task", "round-robin"])
def test_every_shard_has_a_share_of_every_task(protocol_file, order):
    """Tasks differ in length, so a shard of whole tasks would end long after the others."""
    changes = ['blocks.0.tasks=["Point","Plain"]', f"run.order={order}"]
    plan = expand(load_protocol(str(protocol_file(count=6)), overrides=changes))
    for index in (1, 2, 3):
        tasks = [each.key.task for each in take_shard(plan, Shard(index, 3))]
        assert sorted(tasks) == ["Plain"] * 2 + ["Point"] * 2


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
def test_bad_shards(text):
    """A shard that cannot be says what is expected."""
    with pytest.raises(UsageError, match="expected i/n"):
        Shard.parse(text)


def test_noise_of_a_key_is_what_it_always_was():
    """Records of every version are replayed with these numbers."""
    key = EpisodeKey("so101", "PickPlace", 7, 1, 2)
    assert key.generator(3).integers(2**32, size=3).tolist() == [1613421972, 16972854, 2774934580]
    assert key.generator(3).standard_normal(2).tolist() == [
        -0.052920722195704054,
        0.4675276376569325,
    ]
    side = key.generator(3, "side").integers(2**32, size=3).tolist()
    assert side == [1923225442, 3033077268, 2265721734]


def test_noise_depends_on_key_chunk_and_stream_only():
    """Two arms share noise; another seed, state, chunk or stream gives other noise."""
    key = EpisodeKey("s", "t", 0, 0, 0)
    draw = key.generator(0).random(4).tolist()
    assert EpisodeKey("s", "t", 0, 0, 0).generator(0).random(4).tolist() == draw
    others = [
        EpisodeKey("s", "t", 1, 0, 0).generator(0),
        EpisodeKey("s", "t", 0, 1, 0).generator(0),
        EpisodeKey("s", "t", 0, 0, 1).generator(0),
        key.generator(1),
        key.generator(0, "other"),
    ]
    assert all(each.random(4).tolist() != draw for each in others)


def test_a_block_of_one_task_needs_no_placeholder(tmp_path, protocol_file):
    """An id without {task} is the task's own; with several tasks it is refused in a sentence."""
    text = protocol_file().read_text().replace("fakes/{task}-v0", "fakes/Point-v0")
    file = Path(tmp_path / "one.toml")
    file.write_text(text)
    assert load_protocol(str(file)).blocks[0].env_id == "fakes:fakes/Point-v0"
    file.write_text(text.replace('["Point"]', '["Point", "Other"]'))
    with pytest.raises(ProtocolError, match=r"the same for all 2 tasks; write \{task\}"):
        load_protocol(str(file))
    file.write_text(text.replace("fakes:fakes/Point-v0", "CartPole"))
    with pytest.raises(ProtocolError, match="the module to import, a colon"):
        load_protocol(str(file))
