"""In which scenes the demonstrations of the shipped checkpoints began, found by making them again.

The cards of these checkpoints are older than their entry ``trained_on``, and no byte of a released file
is changed. A card's recipe makes the same demonstrations again, so this does, compares them with the
card's ``data_sha256`` and number of episodes, and writes the scenes of the episodes that were kept into
``flow/checkpoints/trained_on.json``. Of LIBERO, whose episodes are dear, it only begins them: the scenes
of the few that failed, and were left out, are among those that are written (``same_bytes`` is null).
A student has learned from its teacher's demonstrations too. A start that is not shipped is looked up in
``examples/recipes`` by the folder that it was trained in.

    python tools/trained_on.py                 # everything; a quarter of an hour, and LIBERO's assets
    python tools/trained_on.py so101           # what begins so; the file's other entries stay
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from vla_eval.catalog import find_suite
from vla_eval.environment import make_env
from vla_eval.trainedon import shorten
from vla_eval_policies.flow.checkpoint import Card, read_card
from vla_eval_policies.flow.shipped import checkpoint_path, shipped_names
from vla_eval_policies.training.expert_data import ExpertData, generate
from vla_eval_policies.training.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "policies/vla_eval_policies/flow/checkpoints/trained_on.json"


def begun_again(card: Card, plan: ExpertData) -> dict[str, Any]:
    """Return the scenes that the episodes of a card's demonstrations, all in LIBERO, began in."""
    scenes: list[str] = []
    for number, task in enumerate(plan.tasks):
        suite, _, name = task.partition("/")
        env = make_env(find_suite(suite).task(name).env_id, plan.env_kwargs)
        for repeat, state in np.ndindex(plan.repeats, plan.init_states):
            # As vla_eval_policies.training.expert_data begins an episode.
            generator = np.random.default_rng((plan.seed, number, state, repeat))
            seed = int(generator.integers(2**32))
            scenes.append(env.new_scene(seed=seed)["scene_hash"])
        env.close()
        _say(len(scenes), plan.repeats * plan.init_states * len(plan.tasks))
    return {"data_sha256": card.data_sha256, "same_bytes": None, "scenes": shorten(scenes)}


def made_again(card: Card, plan: ExpertData) -> dict[str, Any]:
    """Return what is known of a card's demonstrations."""
    network = card.network
    frames = generate(
        plan, network.cameras, network.image_size, network.chunk_size, on_episode=_say
    )
    if frames.describe() != card.data or frames.scenes is None:
        sys.exit(f"other demonstrations: {frames.describe()}; the card has {card.data}")
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
        sys.exit("a recipe names datasets, which cannot be made again")
    return ExpertData.model_validate({**recipe["data"]["expert"], "cache": None})


def lineage(card: Card, shipped: Mapping[str, Card]) -> Iterator[tuple[Card, ExpertData]]:
    """Yield a checkpoint and those that it began with, with their demonstrations."""
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
        told = plan_of(recipe.model_dump(mode="json"))
        # Poses or displacements are two readings of the same episodes.
        if told.model_copy(update={"absolute": plan.absolute}) != plan:
            sys.exit(f"{start} was trained on other demonstrations")
        if recipe.training.start is None:
            return
        start = recipe.training.start


def main(prefix: str) -> None:
    """Make the demonstrations again, each once, and write the file."""
    said: dict[str, Any] = {"demonstrations": {}, "checkpoints": {}}
    if prefix:
        said = json.loads(FILE.read_text(encoding="utf-8"))
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
        said["demonstrations"] |= made
        said["checkpoints"][name] = {"weights_sha256": digest, "demonstrations": used}
        FILE.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
        sys.stderr.write(f"{name}: {', '.join(used)}\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
