"""From a request to a training run of the small reference policy or of a LeRobot student."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from vla_eval.errors import UsageError
from vla_eval.tools import Trained, Training, TrainingRequest
from vla_eval_policies.flow.checkpoint import read_card
from vla_eval_policies.lerobot_policy.extra_time import read_student
from vla_eval_policies.training.lerobot.recipe import (
    LeRobotRecipe,
    is_lerobot_recipe,
    make_recipe,
)
from vla_eval_policies.training.recipe import Recipe, load_recipe

__all__ = ["read_training"]


def read_training(request: TrainingRequest) -> Training:
    """Return the training run that a recipe or flags describe.

    Raises:
        UsageError: the recipe is not valid; names the missing or wrong key.
    """
    recipe = request.recipe
    if recipe is None or request.base is not None or is_lerobot_recipe(recipe):
        return _StudentTraining(
            make_recipe(
                recipe,
                base=request.base,
                method=request.method,
                dataset=request.dataset,
                changes=request.changes,
            )
        )
    if request.method is not None or request.dataset is not None:
        raise UsageError(
            "--method and --dataset belong to --base; to change a recipe: --set method.name=…, "
            "--set data.datasets='[\"…\"]'"
        )
    return _FlowTraining(load_recipe(recipe, request.changes))


class _FlowTraining:
    base = None

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self.steps = recipe.training.steps

    def run(
        self,
        folder: Path,
        *,
        on_step: Callable[[int, Mapping[str, float]], None],
        on_episode: Callable[[int, int], None],
    ) -> Trained:
        from vla_eval_policies.training.run import train

        checkpoint = train(self._recipe, folder, on_step=on_step, on_episode=on_episode)
        card = read_card(checkpoint)
        return Trained(
            checkpoint,
            spec=f"flow:{checkpoint}",
            method=card.method,
            steps=card.steps,
            data=card.data,
            card=card.model_dump(mode="json"),
        )


class _StudentTraining:
    def __init__(self, recipe: LeRobotRecipe) -> None:
        self._recipe = recipe
        self.base = recipe.base
        self.steps = recipe.training.steps

    def run(
        self,
        folder: Path,
        *,
        on_step: Callable[[int, Mapping[str, float]], None],
        on_episode: Callable[[int, int], None],
    ) -> Trained:
        del on_episode  # a student learns from datasets alone
        from vla_eval_policies.training.lerobot.run import train_lerobot

        checkpoint = train_lerobot(self._recipe, folder, on_step=on_step)
        student = read_student(checkpoint)
        assert student is not None  # noqa: S101 - the training wrote it
        return Trained(
            checkpoint,
            spec=f"lerobot:{checkpoint}",
            method=student.method.name,
            steps=student.training["steps"],
            data=student.training["data"],
            card=student.training,
        )
