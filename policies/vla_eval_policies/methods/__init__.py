"""Ways to generate an action chunk: one file a method, its equation beside the code.

A file says everything about its method: the paper, the loss, the sampler, the hyperparameters and
their meanings, the papers' presets. ``METHODS`` and ``PRESETS`` hold them by name, docs/methods.md
lists them; both find a new file by themselves. ``keystone`` is no method but selects among samples
of any, and ``field`` has the convention of time and sign. Methods know no robot, no simulator and
no file format; importing this package loads torch.
"""

from vla_eval_policies.methods.drift import spread_to_error
from vla_eval_policies.methods.embedding import LOW_FREQUENCIES, SMOLVLA_PERIODS, TimeEmbedding
from vla_eval_policies.methods.field import Batch, Draw, ExtraTime, Field, local_velocity
from vla_eval_policies.methods.keystone import KeyStone, Selection
from vla_eval_policies.methods.method import Loss, Method, Preset, TaughtMethod, TrainingCost
from vla_eval_policies.methods.registry import METHODS, PRESETS, make_method

__all__ = [
    "LOW_FREQUENCIES",
    "METHODS",
    "PRESETS",
    "SMOLVLA_PERIODS",
    "Batch",
    "Draw",
    "ExtraTime",
    "Field",
    "KeyStone",
    "Loss",
    "Method",
    "Preset",
    "Selection",
    "TaughtMethod",
    "TimeEmbedding",
    "TrainingCost",
    "local_velocity",
    "make_method",
    "spread_to_error",
]
