"""Chunks of LeRobot's Diffusion Policy, which looks back and walks from noise to actions.

Without ``nfe`` the checkpoint's own scheduler runs its own number of steps. With it, DDIM
(Song et al., arXiv 2010.02502) runs that many, from the last training timestep on ("trailing" spacing,
Lin et al., arXiv 2305.08891): by LeRobot's default spacing a single step would be taken at timestep 0,
where a network expects a clean action and not noise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vla_eval.errors import PolicySpecError
from vla_eval.keys import EpisodeKey
from vla_eval.policy import Context
from vla_eval_policies.lerobot_policy.loading import Loaded
from vla_eval_policies.lerobot_policy.noise import Noise
from vla_eval_policies.lerobot_policy.options import Options
from vla_eval_policies.lerobot_policy.policy import Batch, Chunker, Chunks
from vla_eval_policies.lerobot_policy.timing import now

__all__ = ["DiffusionChunker"]

_STATE, _IMAGES = "observation.state", "observation.images"


class DiffusionChunker(Chunker):
    """A U-Net over the horizon, conditioned on the last ``n_obs_steps`` observations.

    Earlier observations are those of earlier inferences of the episode; before the first there is a
    copy of it, as in LeRobot. LeRobot looks at every control step, so the two agree where
    ``n_action_steps`` is 1; otherwise what the network takes for the step before is as old as the
    last inference.
    """

    def __init__(self, loaded: Loaded, options: Options, where: str) -> None:
        self._policy = loaded.policy
        config = self._policy.config
        self._look_back = int(config.n_obs_steps)
        self.chunk_size = int(config.horizon) - self._look_back + 1
        model = self._policy.diffusion
        if options.nfe is not None:
            if options.nfe > config.num_train_timesteps:
                raise PolicySpecError(
                    f"{where}: nfe={options.nfe}, but it was trained on "
                    f"{config.num_train_timesteps} timesteps"
                )
            model.noise_scheduler = _trailing_ddim(model.noise_scheduler)
            model.num_inference_steps = options.nfe
        self.nfe: int = int(model.num_inference_steps)
        self._ddim = options.nfe is not None or config.noise_scheduler_type == "DDIM"
        self.method = "ddim" if self._ddim else "ddpm"
        self.solver = "ddim-trailing" if options.nfe is not None else self.method
        self._shape = (int(config.horizon), int(config.action_feature.shape[0]))
        self._history: dict[EpisodeKey, deque[dict[str, Tensor]]] = {}

    def __call__(self, batch: Batch, contexts: Sequence[Context]) -> Chunks:
        """Return a chunk for every observation."""
        device = torch.device(self._policy.config.device)
        start = now(device)
        condition = self._policy.diffusion._prepare_global_conditioning(  # noqa: SLF001  pinned
            self._stacked(batch, contexts)
        )
        encoded = now(device)
        trajectory = self._denoise(condition, contexts, device)
        end = now(device)
        return Chunks(
            trajectory[:, self._look_back - 1 :],
            nfe=self.nfe,
            prefix_ms=1e3 * (encoded - start),
            denoise_ms=1e3 * (end - encoded),
        )

    def forget(self, key: EpisodeKey) -> None:
        """Free the observations of an episode."""
        self._history.pop(key, None)

    def _stacked(self, batch: Batch, contexts: Sequence[Context]) -> dict[str, Tensor]:
        """Return state (B, T, D) and pictures (B, T, cameras, 3, H, W) of the last T observations."""
        cameras = list(self._policy.config.image_features)
        now_seen: dict[str, Tensor] = {_STATE: batch[_STATE]}
        if cameras:
            now_seen[_IMAGES] = torch.stack([batch[name] for name in cameras], dim=1)
        rows = []
        for i, context in enumerate(contexts):
            seen = {name: tensor[i] for name, tensor in now_seen.items()}
            if context.chunk_index == 0 or context.key not in self._history:
                copies = [seen] * self._look_back
                self._history[context.key] = deque(copies, maxlen=self._look_back)
            else:
                self._history[context.key].append(seen)
            rows.append(list(self._history[context.key]))
        return {
            name: torch.stack([torch.stack([each[name] for each in row]) for row in rows])
            for name in now_seen
        }

    def _denoise(
        self, condition: Tensor, contexts: Sequence[Context], device: torch.device
    ) -> Tensor:
        """Return trajectories (B, horizon, A) from each context's own noise."""
        model = self._policy.diffusion
        noise = Noise(contexts, self._shape, device=device)
        start = noise()
        if self._ddim:  # nothing random but the start
            deterministic: Tensor = model.conditional_sample(
                len(contexts), global_cond=condition, noise=start
            )
            return deterministic
        made = []
        for i, context in enumerate(contexts):
            generator = torch.Generator(device)
            generator.manual_seed(int(context.generator("steps").integers(2**63)))
            one = slice(i, i + 1)
            made.append(
                model.conditional_sample(
                    1, global_cond=condition[one], generator=generator, noise=start[one]
                )
            )
        return torch.cat(made)


def _trailing_ddim(scheduler: Any) -> Any:
    import diffusers

    kind: Any = diffusers.DDIMScheduler
    return kind.from_config(scheduler.config, timestep_spacing="trailing")
