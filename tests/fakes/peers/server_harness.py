"""Runs with AllenAI's vla-eval: a model server of theirs, with a chunk of four. Prints its address."""

import signal

import numpy as np
from vla_eval.api import serve_background
from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.specs import GRIPPER_CLOSE_POS, IMAGE_RGB, POSITION_DELTA, ROTATION_AA


class Fake(PredictModelServer):
    """Actions that depend on everything that was sent."""

    def __init__(self):
        super().__init__(chunk_size=4)

    def predict(self, obs, ctx):
        assert sorted(obs["images"]) == ["agentview", "wrist"]
        assert obs["states"].dtype == np.float64
        if obs["task_description"] == "fail":
            raise RuntimeError("CUDA out of memory")
        sums = [int(each.sum()) for _, each in sorted(obs["images"].items())]
        seed = [*sums, int(1e3 * abs(obs["states"]).sum()), ctx.step]
        return {"actions": np.random.default_rng(seed).uniform(-1, 1, (4, 7))}

    def get_action_spec(self):
        return {
            "position": POSITION_DELTA,
            "rotation": ROTATION_AA,
            "gripper": GRIPPER_CLOSE_POS,
        }

    def get_observation_spec(self):
        return {"agentview": IMAGE_RGB}

    def get_observation_params(self):
        return {"send_wrist_image": True, "send_state": True, "seed": 0}


with serve_background(Fake()) as handle:
    print(handle.url, flush=True)
    signal.pause()
