"""A checkpoint holds weights and settings: whatever it names, no code of its own is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from fakes.lerobot import builders
from vla_eval.errors import PolicySpecError
from vla_eval.spec import build_policy

PREPROCESSOR = "policy_preprocessor.json"


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A checkpoint that works."""
    folder = tmp_path_factory.mktemp("clean") / "act"
    builders.act(folder, builders.SO101)
    return folder


@pytest.fixture
def checkpoint(clean, tmp_path):
    """A copy of it, and a function that changes one of its JSON files."""
    folder = tmp_path / "act"
    folder.mkdir()
    for file in clean.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())

    def change(name, how):
        content = json.loads((folder / name).read_text())
        how(content)
        (folder / name).write_text(json.dumps(content))
        return f"lerobot:{folder}"

    return change


@pytest.mark.parametrize("file", [PREPROCESSOR, "policy_postprocessor.json"])
@pytest.mark.parametrize(
    "step",
    [
        {"class": "subprocess.Popen", "config": {"args": ["touch", "RAN"]}},
        {"class": "os.system", "config": {"command": "touch RAN"}},
        {"class": "lerobot.utils.utils.init_logging", "config": {}},
        {"class": "lerobot.processor.pipeline.ProcessorStepRegistry.get", "config": {"name": "x"}},
        {"class": "lerobot.processor.pipeline.importlib", "config": {}},
        {"class": "Popen", "config": {}},
        {"class": "fakes.lerobot.builders.Step", "config": {}},
    ],
    ids=lambda step: step["class"],
)
def test_a_step_that_is_none_of_lerobot_s_is_neither_imported_nor_called(
    checkpoint, tmp_path, monkeypatch, file, step
):
    """Nothing is run, and the sentence names file, step and class."""
    monkeypatch.chdir(tmp_path)
    spec = checkpoint(file, lambda content: content["steps"].append(step))
    with pytest.raises(PolicySpecError, match=rf"{file}, step \d: '.*' is no processor step"):
        build_policy(spec)
    assert not (tmp_path / "RAN").exists()


def test_steps_by_their_class_are_lerobot_s_or_of_the_plugin_that_is_named(checkpoint):
    """LeRobot's own are welcome by path; another package's after plugin=PACKAGE."""
    own = {"class": "lerobot.processor.RenameObservationsProcessorStep", "config": {}}
    spec = checkpoint(PREPROCESSOR, lambda content: content["steps"].append(own))
    build_policy(spec)
    foreign = {"class": "plugged_steps.Step", "config": {}}
    spec = checkpoint(PREPROCESSOR, lambda content: content["steps"].append(foreign))
    with pytest.raises(PolicySpecError, match="plugin=PACKAGE"):
        build_policy(spec)
    build_policy(f"{spec}?plugin=plugged_steps")


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (lambda found: found["steps"][0].update(registry_name="evil"), "knows no step 'evil'"),
        (lambda found: found["steps"][0].update(registry_name=["x"]), "step 0: 'registry_name' or"),
        (lambda found: found["steps"].append(5), r"step \d+: 'registry_name' or"),
        (lambda found: found["steps"].append({}), r"step \d+: 'registry_name' or"),
        (lambda found: found["steps"][0].update(config=[]), "step 0: 'registry_name' or"),
        (lambda found: found.update(steps={}), "a list 'steps' is expected"),
        (lambda found: found["steps"][0].update(state_file="../x.safetensors"), "no file beside"),
        (lambda found: found["steps"][0]["config"].update(auto_map={"a": "b.c"}), "steps.0.config"),
    ],
)
def test_damaged_processors_are_refused_with_their_place(checkpoint, how, sentence):
    """Exit code 4 and a sentence with file and step, whatever is wrong with it."""
    with pytest.raises(PolicySpecError, match=sentence) as caught:
        build_policy(checkpoint(PREPROCESSOR, how))
    assert PREPROCESSOR in str(caught.value)


def test_a_configuration_that_names_code_is_refused(checkpoint):
    """The keys by which other libraries import and call are not for a checkpoint."""
    spec = checkpoint("config.json", lambda found: found.update({"x": [{"_target_": "os.system"}]}))
    with pytest.raises(PolicySpecError, match=r"config\.json, x\.0\._target_: names code"):
        build_policy(spec)


def test_code_that_a_tokenizer_s_repository_brings_along_is_not_run(checkpoint, tmp_path):
    """Transformers would run it where LeRobot trusts it; only the user's word lets it."""
    pytest.importorskip("transformers")
    evil = tmp_path / "tokenizer"
    evil.mkdir()
    (evil / "evil.py").write_text(f"open({os.fspath(tmp_path / 'RAN')!r}, 'w')\nclass Evil: pass\n")
    (evil / "processor_config.json").write_text(
        json.dumps({"processor_class": "Evil", "auto_map": {"AutoProcessor": "evil.Evil"}})
    )
    step = {
        "registry_name": "action_tokenizer_processor",
        "config": {"action_tokenizer_name": str(evil), "trust_remote_code": True},
    }
    spec = checkpoint(PREPROCESSOR, lambda found: found["steps"].append(step))
    with pytest.raises(PolicySpecError, match=r"Evil.*trust_remote_code=true"):
        build_policy(spec)
    assert not (tmp_path / "RAN").exists()
    command = [sys.executable, "-m", "vlaeval_launcher", "doctor", "--policy"]
    subprocess.run([*command, f"{spec}?trust_remote_code=true"], capture_output=True, check=False)
    assert (tmp_path / "RAN").exists(), "the attack works where nobody prevents it"
