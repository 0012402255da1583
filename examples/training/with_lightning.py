"""Evaluation as a callback of Lightning, at the end of every epoch.

python examples/training/with_lightning.py
"""

from __future__ import annotations

import lightning
import torch
import toy

import vla_eval


class Evaluation(lightning.Callback):
    """Evaluates the module's network, and logs rates with their intervals."""

    def __init__(self, protocol, **options):
        self.protocol, self.options, self.results = protocol, options, []

    def on_train_epoch_end(self, trainer, pl_module):
        """Evaluate; Lightning calls this on every rank."""
        result = vla_eval.evaluate(
            toy.as_policy(pl_module.network),
            self.protocol,
            module=pl_module.network,
            metadata=toy.METADATA,
            step=trainer.global_step,
            **self.options,
        )
        self.results.append(result)
        pl_module.log_dict(result.scalars(), rank_zero_only=True)


class Module(lightning.LightningModule):
    """The toy network with its loss."""

    def __init__(self, sizes=(6, 6)):
        super().__init__()
        self.network = toy.make_network(*sizes)

    def training_step(self, batch, _):
        """Return the loss."""
        states, chunks = batch
        return torch.nn.functional.mse_loss(self.network(states), chunks)

    def configure_optimizers(self):
        """Return the optimiser."""
        return torch.optim.Adam(self.parameters())


def train(protocol="so101-quickstart", out="runs/lightning", sizes=(6, 6), **options):
    """Train for an epoch, and return the evaluations."""
    callback = Evaluation(protocol, out=out, **options)
    trainer = lightning.Trainer(
        max_epochs=1,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        accelerator="cpu",
    )
    trainer.fit(Module(sizes), torch.utils.data.DataLoader(toy.make_data(*sizes), batch_size=16))
    return callback.results


if __name__ == "__main__":
    for each in train(episodes=10):
        print(each)
