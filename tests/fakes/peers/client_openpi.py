"""Runs with openpi-client: asks a server for chunks, and prints what came as JSON.

Arguments: URL, layout (libero or native), number of requests.
"""

import json
import sys

import numpy as np
from openpi_client import image_tools
from openpi_client.websocket_client_policy import WebsocketClientPolicy


def observation(layout, index):
    """Return what the test builds too, from the same generator."""
    generator = np.random.default_rng(index)
    picture = generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    if layout == "libero":
        return {
            "observation/image": image_tools.resize_with_pad(picture, 224, 224),
            "observation/wrist_image": image_tools.resize_with_pad(picture, 224, 224),
            "observation/state": generator.normal(size=8),
            "prompt": "put the bowl on the plate",
        }
    return {
        "observation/images/front": picture,
        "observation/state": generator.normal(size=1),
        "prompt": "move",
    }


url, layout, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = WebsocketClientPolicy(url)
replies = [client.infer(observation(layout, index)) for index in range(count)]
said = {"metadata": sorted(client.get_server_metadata()), "numpy": np.__version__}
said["actions"] = [reply["actions"].tolist() for reply in replies]
said["dtype"] = str(replies[0]["actions"].dtype)
said["timing"] = [sorted(reply["server_timing"]) for reply in replies]
try:
    client.infer({"prompt": 3})
    said["error"] = None
except RuntimeError as error:
    said["error"] = str(error)
print(json.dumps(said))
