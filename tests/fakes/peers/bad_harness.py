"""A harness model server that misbehaves as the path of the address says. Prints its port."""

from __future__ import annotations

import numpy as np
from websockets.sync.server import serve

from vla_eval_policies.remote.codec import envelope, open_envelope

PARAMS = {
    "absolute": {"absolute_action": True},
    "unknown": {"send_depth": True},
    "wants": {"send_state": True, "env_seed": 0},
}


def handle(connection) -> None:
    """Serve one client."""
    fault = connection.request.path.strip("/")
    for frame in connection:
        kind, payload, number = open_envelope(frame)
        if kind == "hello":
            said = {
                "protocol_version": 2 if fault == "version" else 1,
                "model_server": "Bad",
                "observation_params": PARAMS.get(fault, {}),
            }
            connection.send(envelope("hello", said, number))
        elif kind == "episode_start" and fault == "start":
            # As theirs: the answer to the start is what the client reads after its observation.
            connection.send(envelope("error", {"error": "episode_start_failed"}, number))
        elif kind == "observation":
            actions = np.full(7, np.nan if fault == "nan" else 0.0, np.float32)
            if fault == "wants":
                assert sorted(payload["images"]) == ["agentview"]
                actions[:3] = payload["states"][3:6]
            answered = number - 1 if fault == "seq" else number
            found = {} if fault == "empty" else {"actions": actions}
            if fault == "words":
                found["actions"] = actions.astype(str)
            connection.send(envelope("action", found, answered))


if __name__ == "__main__":
    server = serve(handle, "127.0.0.1", 0, compression=None, max_size=None)
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
