"""Runs with AllenAI's vla-eval: drives a server with their own connection. Prints JSON.

Arguments: URL, number of observations.
"""

import asyncio
import json
import sys

import numpy as np
from vla_eval.connection import Connection


async def main(url, count):
    """Run two episodes of equal observations, and an observation that cannot be used."""
    said = {"episodes": []}
    async with Connection(url) as connection:
        said["hello"] = connection.server_info
        for _ in range(2):
            task = {"name": "move", "suite": "libero_spatial", "task_id": 3, "episode_idx": 7}
            await connection.start_episode({"task": task})
            actions = []
            for index in range(count):
                generator = np.random.default_rng(index)
                picture = generator.integers(0, 256, (256, 256, 3), dtype=np.uint8)
                reply = await connection.act(
                    {
                        "images": {"agentview": picture, "wrist": picture[::-1]},
                        "task_description": "move",
                        "states": generator.normal(size=8),
                    }
                )
                assert reply["actions"].shape == (7,)
                actions.append(reply["actions"].tolist())
            said["episodes"].append(actions)
            await connection.end_episode({"metrics": {"success": True}, "steps": count})
        await connection.start_episode({"task": {}})
        try:
            await connection.act({"images": {}})
        except RuntimeError as error:
            said["error"] = str(error)
    print(json.dumps(said))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
