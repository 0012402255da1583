r"""lerobot-train with an evaluation from memory at every checkpoint: the same arguments, two more.

    python examples/training/lerobot_train.py --vla-eval.protocol=so101-quickstart \
        --vla-eval.out=runs/curve --dataset.repo_id=… --policy.type=act --save_freq=2000

For FSDP, and for spare machines: vlaeval watch.
"""

from __future__ import annotations

import sys

import lerobot.scripts.lerobot_train as trainer

import vla_eval
from vla_eval_policies.lerobot_policy.checkpoint import find_checkpoint
from vla_eval_policies.lerobot_policy.chunkers import chunker_for
from vla_eval_policies.lerobot_policy.factory import wants_of
from vla_eval_policies.lerobot_policy.loading import Loaded
from vla_eval_policies.lerobot_policy.options import Options
from vla_eval_policies.lerobot_policy.policy import LeRobotPolicy


def in_memory(checkpoint_dir, policy, preprocessor, postprocessor):
    """Return the trainer's policy with its processors; of the checkpoint only its type is read."""
    checkpoint = find_checkpoint(str(checkpoint_dir / "pretrained_model"), None)
    options = Options(device=str(policy.config.device))
    loaded = Loaded(policy, preprocessor, postprocessor, {})
    chunker = chunker_for(checkpoint, loaded, options)
    metadata = vla_eval.PolicyMetadata(
        name=f"lerobot-{checkpoint.type}",
        method=chunker.method,
        chunk_size=chunker.chunk_size,
        n_action_steps=min(policy.config.n_action_steps, chunker.chunk_size),
        n_obs_steps=chunker.n_obs_steps,
        nfe=chunker.nfe,
        device=options.device,
    )
    return LeRobotPolicy(loaded, chunker, wants_of(loaded, options, "lerobot-train"), metadata)


def evaluate_at_checkpoints(settings):
    """Let lerobot-train evaluate whenever it has saved a checkpoint, on its main process."""
    save = trainer.save_checkpoint

    def save_and_evaluate(checkpoint_dir, step, cfg, policy, *others, **named):
        save(checkpoint_dir, step, cfg, policy, *others, **named)
        print(
            vla_eval.evaluate(
                in_memory(checkpoint_dir, policy, named["preprocessor"], named["postprocessor"]),
                settings["protocol"],
                module=policy,
                out=settings["out"],
                step=step,
                reference=settings.get("reference"),
                episodes=int(settings.get("episodes", 60)),
                on_every_rank=False,  # lerobot-train saves on its main process alone
            )
        )

    trainer.save_checkpoint = save_and_evaluate


def main():
    """Take our arguments out, and leave the others to lerobot-train."""
    mark = "--vla-eval."
    ours = [each.removeprefix(mark).split("=", 1) for each in sys.argv if each.startswith(mark)]
    sys.argv = [each for each in sys.argv if not each.startswith(mark)]
    if ours:
        evaluate_at_checkpoints(dict(ours))
    trainer.main()


if __name__ == "__main__":
    main()
