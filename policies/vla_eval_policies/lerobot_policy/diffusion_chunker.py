"""Chunks of LeRobot's Diffusion Policy, which denoises actions given several past observations.

Without ``nfe`` the checkpoint's own scheduler runs its own number of steps. With ``nfe``, DDIM
(Song et al., arXiv 2010.02502) runs that many steps, beginning at the last training timestep
("trailing" spacing, Lin et al., arXiv 2305.08891). LeRobot's default spacing would take a single step
at timestep 0, where the network expects a clean action instead of noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vla_eval.errors import PolicySpecError
from vla_eval.policy import Context
from vla_eval_policies.lerobot_policy.batch import Batch
from vla_eval_policies.lerobot_policy.loading import Loaded
from vla_eval_policies.lerobot_policy.noise import Noise
from vla_eval_policies.lerobot_policy.options import Options
from vla_eval_policies.lerobot_policy.policy import Chunker, Chunks
from vla_eval_policies.lerobot_policy.timing import now

__all__ = ["DiffusionChunker"]

_STATE, _IMAGES = "observation.state", "observation.images"


class DiffusionChunker(Chunker):
    """A U-Net over the horizon, conditioned on the last ``n_obs_steps`` observations."""

    def __init__(self, loaded: Loaded, options: Options, where: str) -> None:
        self._policy = loaded.policy
        config = self._policy.config
        self.n_obs_steps = int(config.n_obs_steps)
        self.chunk_size = int(config.horizon) - self.n_obs_steps + 1
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

    def __call__(self, batch: Batch, contexts: Sequence[Context]) -> Chunks:
        """Return a chunk for every observation."""
        device = torch.device(self._policy.config.device)
        start = now(device)
        condition = self._policy.diffusion._prepare_global_conditioning(  # noqa: SLF001  pinned
            self._stacked(batch)
        )
        encoded = now(device)
        trajectory = self._denoise(condition, contexts, device)
        end = now(device)
        return Chunks(
            trajectory[:, self.n_obs_steps - 1 :],
            nfe=self.nfe,
            prefix_ms=1e3 * (encoded - start),
            denoise_ms=1e3 * (end - encoded),
        )

    def _stacked(self, batch: Batch) -> dict[str, Tensor]:
        """Return state (B, T, D) and pictures (B, T, cameras, 3, H, W) from B·T observations."""

        def rows(tensor: Tensor) -> Tensor:
            return tensor.reshape(-1, self.n_obs_steps, *tensor.shape[1:])

        stacked = {_STATE: rows(batch[_STATE])}
        cameras = list(self._policy.config.image_features)
        if cameras:
            stacked[_IMAGES] = torch.stack([rows(batch[name]) for name in cameras], dim=2)
        return stacked

    def _denoise(
        self, condition: Tensor, contexts: Sequence[Context], device: torch.device
    ) -> Tensor:
        """Return trajectories (B, horizon, A), each from the noise of its own context."""
        model = self._policy.diffusion
        noise = Noise(contexts, self._shape, device=device)
        start = noise()
        if self._ddim:  # only the start is random
            deterministic: Tensor = model.conditional_sample(
                len(contexts), global_cond=condition, noise=start
            )
            return deterministic
        trajectories = []
        for i, context in enumerate(contexts):
            generator = torch.Generator(device)
            generator.manual_seed(int(context.generator("steps").integers(2**63)))
            row = slice(i, i + 1)
            trajectories.append(
                model.conditional_sample(
                    1, global_cond=condition[row], generator=generator, noise=start[row]
                )
            )
        return torch.cat(trajectories)


def _trailing_ddim(scheduler: Any) -> Any:
    import diffusers

    kind: Any = diffusers.DDIMScheduler
    return kind.from_config(scheduler.config, timestep_spacing="trailing")
