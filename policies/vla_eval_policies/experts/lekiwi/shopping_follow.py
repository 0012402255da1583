"""Expert for lekiwi/ShoppingFollow: meets the basket where it will be, and the base moves along."""

from __future__ import annotations

from vla_eval_envs.lekiwi.shopping_follow import ShoppingFollow
from vla_eval_envs.manipulation.driven import Track
from vla_eval_policies.experts.lekiwi.shopping import ShoppingExpert
from vla_eval_policies.experts.so101.path import Array

__all__ = ["ShoppingFollowExpert"]


class ShoppingFollowExpert(ShoppingExpert):
    """Puts the salt bottle into the basket that goes to and fro."""

    _env: ShoppingFollow

    def _basket_shift(self) -> Array:
        return self._env.basket_shift()

    def _basket_track(self) -> Track | None:
        return self._env.basket_track()
