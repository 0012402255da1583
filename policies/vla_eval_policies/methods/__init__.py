"""Methods to generate an action chunk: one file per method, with the equation beside the code.

A file contains everything about its method: the paper, the loss, the sampler, the hyperparameters and
their meanings, and the papers' presets. ``METHODS`` and ``PRESETS`` hold them by name, and
docs/methods.md lists them; a new file appears in both automatically. ``keystone`` is no method: it
selects among the samples of any method. ``field`` defines the convention of time and sign. Methods
depend on no robot, no simulator and no file format. Importing this package loads torch.
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
