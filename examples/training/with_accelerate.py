"""Evaluation in a loop of accelerate; every process calls it, the first one evaluates.

accelerate launch examples/training/with_accelerate.py
"""

from __future__ import annotations

import torch
import toy
from accelerate import Accelerator

import vla_eval


def train(protocol="so101-quickstart", out="runs/accelerate", steps=10, sizes=(6, 6), **options):
    """Train, and return the evaluation at the end."""
    accelerator = Accelerator()
    network = toy.make_network(*sizes)
    optimiser = torch.optim.Adam(network.parameters())
    batches = torch.utils.data.DataLoader(toy.make_data(*sizes), batch_size=16, shuffle=True)
    network, optimiser, batches = accelerator.prepare(network, optimiser, batches)
    for _ in range(steps):
        states, chunks = next(iter(batches))
        loss = torch.nn.functional.mse_loss(network(states), chunks)
        optimiser.zero_grad()
        accelerator.backward(loss)
        optimiser.step()
    inner = accelerator.unwrap_model(network)
    result = vla_eval.evaluate(
        toy.as_policy(inner),
        protocol,
        module=inner,
        metadata=toy.METADATA,
        out=out,
        step=steps,
        **options,
    )
    accelerator.print(result)
    return result


if __name__ == "__main__":
    train(episodes=10)
