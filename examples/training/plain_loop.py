"""Evaluation in a plain training loop, paired with a reference that is run once.

python examples/training/plain_loop.py
"""

from __future__ import annotations

import torch
import toy

import vla_eval


def train(
    protocol="so101-quickstart", out="runs/plain", steps=20, every=10, sizes=(6, 6), **options
):
    """Train, and return the evaluations."""
    torch.manual_seed(0)
    network = toy.make_network(*sizes)
    optimiser = torch.optim.Adam(network.parameters())
    batches = torch.utils.data.DataLoader(toy.make_data(*sizes), batch_size=16, shuffle=True)
    results = []
    for step in range(1, steps + 1):
        states, chunks = next(iter(batches))
        loss = torch.nn.functional.mse_loss(network(states), chunks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % every == 0:
            result = vla_eval.evaluate(
                toy.as_policy(network),
                protocol,
                module=network,
                metadata=toy.METADATA,
                out=out,
                step=step,
                **options,
            )
            print(result)
            results.append(result)
    return results


if __name__ == "__main__":
    vla_eval.evaluate("expert", "so101-quickstart", out="runs/expert", episodes=20)
    train(reference="runs/expert", episodes=20)
