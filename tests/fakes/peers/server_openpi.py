"""Runs with openpi-client: a server as openpi's own is, on that package's codec.

The client's package has no server, so the way of openpi's is kept here: metadata first, inference
inside the event loop, errors as a text frame with the traceback and then close code 1011. Prints its port.
"""

import asyncio
import time
import traceback

import numpy as np
import websockets.asyncio.server
from openpi_client import msgpack_numpy


def infer(request):
    """Return actions that depend on everything that was sent."""
    assert sorted(request) == [
        "observation/image",
        "observation/state",
        "observation/wrist_image",
        "prompt",
    ]
    image = request["observation/image"]
    assert image.shape == (224, 224, 3)
    assert image.dtype == np.uint8
    sums = [image.sum(), request["observation/wrist_image"].sum(), len(request["prompt"])]
    seed = [int(each) for each in sums] + [int(1e3 * abs(request["observation/state"]).sum())]
    actions = np.random.default_rng(seed).uniform(-1, 1, (10, 7))
    return {"actions": actions.astype(np.float32), "policy_timing": {"infer_ms": 1.0}}


async def handle(socket):
    """Serve one client."""
    packer = msgpack_numpy.Packer()
    await socket.send(packer.pack({"config": "pi05_fake", "mean": np.arange(3.0)}))
    while True:
        try:
            request = msgpack_numpy.unpackb(await socket.recv())
            start = time.monotonic()
            reply = infer(request)
            reply["server_timing"] = {"infer_ms": 1e3 * (time.monotonic() - start)}
            await socket.send(packer.pack(reply))
        except websockets.ConnectionClosed:
            return
        except Exception:
            await socket.send(traceback.format_exc())
            await socket.close(code=1011, reason="Internal server error.")
            raise


async def main():
    """Serve on a free port of this machine."""
    serve = websockets.asyncio.server.serve
    async with serve(handle, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
