"""Checkpoints: what is written comes back, and what is damaged is refused with a sentence."""

from __future__ import annotations

import json
import os
import resource

import pytest
import torch
from safetensors.torch import load_file, save_file

from fakes.flow import card, save, small_network
from vla_eval.errors import PolicySpecError, VlaEvalError
from vla_eval_policies.flow.checkpoint import load_checkpoint, read_card, save_checkpoint
from vla_eval_policies.flow.network import FlowNetwork
from vla_eval_policies.methods import ExtraTime


def test_round_trip(tmp_path):
    """Weights and card come back as they were; the digest is the file's."""
    path = save(tmp_path / "a.safetensors", "snapflow")
    network, found, digest = load_checkpoint(path)
    before = small_network(ExtraTime.TARGET).state_dict()
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert found == read_card(path) == card("snapflow")
    assert found.make_method().name == "snapflow"
    assert len(digest) == 64
    assert not path.with_name("a.safetensors.part").exists()


def test_half_precision(tmp_path):
    """float16 halves the file and is read as float32."""
    network = small_network(ExtraTime.NONE)
    paths = [tmp_path / "32.safetensors", tmp_path / "16.safetensors"]
    for path, dtype in zip(paths, (torch.float32, torch.float16), strict=True):
        save_checkpoint(path, network, card("fm"), dtype=dtype)
    assert paths[1].stat().st_size < 0.65 * paths[0].stat().st_size
    loaded, _, _ = load_checkpoint(paths[1])
    assert all(each.dtype == torch.float32 for each in loaded.state_dict().values())


def rewrite(path, change):
    tensors = load_file(path)
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    change(tensors, metadata)
    save_file(tensors, path, metadata=metadata or None)


def not_finite(tensors, _):
    tensors["action_in.weight"][0, 0] = float("nan")


def missing(tensors, _):
    del tensors["action_in.weight"]


def surplus(tensors, _):
    tensors["more"] = torch.zeros(1)


def other_shape(tensors, _):
    tensors["action_in.weight"] = torch.zeros(16, 7)


def other_kind(_, metadata):
    metadata.clear()
    metadata["format"] = "pt"


def damaged_card(_, metadata):
    content = json.loads(metadata["vla_eval.flow"])
    metadata["vla_eval.flow"] = json.dumps({**content, "seed": "none"})


def odd_scenes(_, metadata):
    content = json.loads(metadata["vla_eval.flow"])
    metadata["vla_eval.flow"] = json.dumps({**content, "trained_on": ["PickPlace 0 to 99"]})


def other_method(_, metadata):
    content = json.loads(metadata["vla_eval.flow"])
    content["network"]["extra_time"] = "interval"
    metadata["vla_eval.flow"] = json.dumps(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (not_finite, "'action_in.weight' has values that are not finite"),
        (missing, "another network: 'action_in.weight' is missing"),
        (surplus, "another network: it has 'more' besides"),
        (other_shape, r"'action_in.weight' has the shape \(16, 7\), not \(16, 8\)"),
        (other_kind, "no checkpoint of this project"),
        (damaged_card, "card is damaged: seed: "),
        (odd_scenes, "card is damaged: trained_on: .*shortened scene hashes are expected"),
        (other_method, "another network: 'time.second"),
    ],
)
def test_damage_is_refused(change, message, tmp_path):
    """Each kind of damage has its sentence."""
    path = save(tmp_path / "a.safetensors", "fm")
    load_checkpoint(path)
    rewrite(path, change)
    with pytest.raises(PolicySpecError, match=message):
        load_checkpoint(path)


def wide(_, metadata):
    content = json.loads(metadata["vla_eval.flow"])
    content["network"] |= {"width": 4096, "layers": 64}
    metadata["vla_eval.flow"] = json.dumps(content)


def too_wide(_, metadata):
    content = json.loads(metadata["vla_eval.flow"])
    content["network"]["width"] = 19200
    metadata["vla_eval.flow"] = json.dumps(content)


def deep_card(_, metadata):
    metadata["vla_eval.flow"] = "[" * 100_000


def long_number(_, metadata):
    text = metadata["vla_eval.flow"]
    metadata["vla_eval.flow"] = text.replace('"seed":0', '"seed":' + "1" * 5000)


def other_bits(tensors, _):
    half = tensors["action_in.weight"].to(torch.float16)
    tensors["action_in.weight"] = half.view(torch.bfloat16)


def whole_numbers(tensors, _):
    half = tensors["action_in.weight"].to(torch.float16)
    tensors["action_in.weight"] = half.view(torch.int16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wide, "its card describes [0-9,]+ numbers or more, and it holds"),
        (too_wide, "card is damaged: network.width: Input should be less than or equal to 4096"),
        (deep_card, "card is damaged: it is not plain JSON"),
        (long_number, "card is damaged: it is not plain JSON"),
        (other_bits, "'action_in.weight' is stored as BF16; F32 or F16 is expected"),
        (whole_numbers, "'action_in.weight' is stored as I16; F32 or F16 is expected"),
    ],
)
def test_what_would_fill_memory_or_be_another_network_is_refused(change, message, tmp_path):
    """A card of a few bytes asked for 12 GB; bits of another type were read as other numbers."""
    path = save(tmp_path / "a.safetensors", "fm")
    rewrite(path, change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PolicySpecError, match=message):
        load_checkpoint(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(
    "sizes", [{}, {"width": 512, "layers": 4}, {"image_size": 64, "words": 9999}]
)
def test_the_least_size_of_a_network_is_near_its_size(sizes):
    """Otherwise it would refuse good files, or stop nothing."""
    config = small_network(ExtraTime.NONE).config.model_copy(update=sizes)
    real = sum(each.numel() for each in FlowNetwork(config).state_dict().values())
    assert 0.5 * real - 50_000 < config.least_parameters <= real


def test_what_is_no_file_is_named(tmp_path):
    """A folder and a named pipe in a checkpoint's place are refused, and nobody waits."""
    (tmp_path / "a.safetensors").mkdir()
    with pytest.raises(PolicySpecError, match="it is a folder, and a file is expected"):
        load_checkpoint(tmp_path / "a.safetensors")
    os.mkfifo(tmp_path / "b.safetensors")
    with pytest.raises(PolicySpecError, match="it is a named pipe, and a file is expected"):
        load_checkpoint(tmp_path / "b.safetensors")


@pytest.mark.parametrize("keep", [0, 6, 100, 0.5, 0.999])
def test_truncated_files_are_refused(keep: float, tmp_path):
    """Wherever it ends, a truncated file is no checkpoint."""
    path = save(tmp_path / "a.safetensors", "fm")
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(PolicySpecError, match="truncated or no safetensors file"):
        load_checkpoint(path)


def test_pickles_are_refused(tmp_path):
    """A torch.save file is never unpickled."""
    path = tmp_path / "a.safetensors"
    torch.save(small_network(ExtraTime.NONE).state_dict(), path)
    with pytest.raises(PolicySpecError, match="pickle"):
        load_checkpoint(path)


def test_absent_file(tmp_path):
    """A path without a file is said to be that."""
    with pytest.raises(VlaEvalError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")
