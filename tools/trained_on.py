"""Find the scenes in which the demonstrations of the shipped checkpoints began, by making them again.

    .venv/bin/python tools/trained_on.py            # all; a quarter of an hour, and LIBERO's assets
    .venv/bin/python tools/trained_on.py so101      # names that begin so; other entries stay

The cards of these checkpoints are older than their entry trained_on, and no byte of a released file is
changed. The recipe on a card makes the same demonstrations again: this script makes them, compares them with
the card's data_sha256 and number of episodes, and writes the scenes of the episodes that were kept into
flow/checkpoints/trained_on.json. Episodes of LIBERO take long, so they are only begun: the scenes of the few
that failed, and were left out, are among those that are written (same_bytes is null). A student has learned
from its teacher's demonstrations too. A start that is not shipped is looked up in examples/recipes by the
folder that it was trained in.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from vla_eval.catalog import find_suite
from vla_eval.environment import NewScenes, make_env
from vla_eval.errors import UsageError, VlaEvalError, did_you_mean
from vla_eval.trainedon import shorten
from vla_eval_policies.flow.checkpoint import Card, read_card
from vla_eval_policies.flow.shipped import checkpoint_path, shipped_names
from vla_eval_policies.training.expert_data import ExpertData, generate
from vla_eval_policies.training.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "policies/vla_eval_policies/flow/checkpoints/trained_on.json"


def begun_again(card: Card, plan: ExpertData) -> dict[str, Any]:
    """Begin the demonstrations of a card, all in LIBERO, and return their scenes."""
    scenes: list[str] = []
    for number, task in enumerate(plan.tasks):
        suite, _, name = task.partition("/")
        env = make_env(find_suite(suite).task(name).env_id, plan.env_kwargs)
        if not isinstance(env, NewScenes):
            raise UsageError(f"{task}: its environment has no new scenes to begin")
        for repeat, state in np.ndindex(plan.repeats, plan.init_states):
            # As vla_eval_policies.training.expert_data begins an episode.
            generator = np.random.default_rng((plan.seed, number, state, repeat))
            seed = int(generator.integers(2**32))
            scenes.append(env.new_scene(seed=seed)["scene_hash"])
        env.close()
        _say(len(scenes), plan.repeats * plan.init_states * len(plan.tasks))
    return {"data_sha256": card.data_sha256, "same_bytes": None, "scenes": shorten(scenes)}


def made_again(card: Card, plan: ExpertData) -> dict[str, Any]:
    """Make a card's demonstrations again, and return their scenes."""
    network = card.network
    frames = generate(
        plan,
        network.cameras,
        network.image_size,
        network.chunk_size,
        n_obs_steps=network.n_obs_steps,
        on_episode=_say,
    )
    if frames.describe() != card.data or frames.scenes is None:
        raise UsageError(f"other demonstrations: {frames.describe()}; the card has {card.data}")
    return {
        "data_sha256": card.data_sha256,
        "same_bytes": frames.sha256() == card.data_sha256,
        "scenes": frames.scenes,
    }


def _say(done: int, total: int) -> None:
    if done % 20 == 0:
        sys.stderr.write(f"{done} of {total} episodes\n")


def plan_of(recipe: Any) -> ExpertData:
    """Return a recipe's only source of demonstrations, to be made anew."""
    if recipe["data"]["datasets"]:
        raise UsageError("a recipe names datasets, which cannot be made again")
    return ExpertData.model_validate({**recipe["data"]["expert"], "cache": None})


def lineage(card: Card, shipped: Mapping[str, Card]) -> Iterator[tuple[Card, ExpertData]]:
    """Yield a checkpoint and the checkpoints that it began with, with their demonstrations."""
    while True:
        plan = plan_of(card.recipe)
        yield card, plan
        if card.start_sha256 is None:
            return
        if card.start_sha256 not in shipped:
            training: Any = card.recipe["training"]
            refuse_other_scenes(plan, training["start"])
            return
        card = shipped[card.start_sha256]


def refuse_other_scenes(plan: ExpertData, start: str) -> None:
    """Follow starts that are not shipped, and stop where one was not trained in the same scenes."""
    while True:
        recipe = load_recipe(ROOT / f"examples/recipes/{Path(start).parent.name}.toml")
        earlier = plan_of(recipe.model_dump(mode="json"))
        # Poses or displacements are two readings of the same episodes.
        if earlier.model_copy(update={"absolute": plan.absolute}) != plan:
            raise UsageError(f"{start} was trained on other demonstrations")
        if recipe.training.start is None:
            return
        start = recipe.training.start


def main(prefix: str) -> None:
    """Make the demonstrations again, no set of them twice, and write the file."""
    written: dict[str, Any] = {"demonstrations": {}, "checkpoints": {}}
    if prefix:
        written = json.loads(FILE.read_text(encoding="utf-8"))
    if not any(name.startswith(prefix) for name in shipped_names()):
        hint = did_you_mean(prefix, shipped_names())
        raise UsageError(f"no shipped checkpoint has a name that begins with '{prefix}'{hint}")
    paths = {name: checkpoint_path(name) for name in shipped_names()}
    digests = {name: sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}
    shipped = {digests[name]: read_card(path) for name, path in paths.items()}
    made: dict[str, Any] = {}
    for name, digest in digests.items():
        if shipped[digest].trained_on is not None or not name.startswith(prefix):
            continue
        used = []
        for card, plan in lineage(shipped[digest], shipped):
            key = card.data_sha256[:12]
            if key not in made:
                libero = all(task.startswith("libero_") for task in plan.tasks)
                made[key] = (begun_again if libero else made_again)(card, plan)
            used += [key] if key not in used else []
        written["demonstrations"] |= made
        written["checkpoints"][name] = {"weights_sha256": digest, "demonstrations": used}
        FILE.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
        sys.stderr.write(f"{name}: {', '.join(used)}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prefix", nargs="?", default="", help="of the checkpoints' names (all)")
    try:
        main(parser.parse_args().prefix)
    except VlaEvalError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
