"""Ways to generate an action chunk: one file a method, its equation beside the code.

==============  =====================================  ===============  =============================
file            method                                 second time      steps
==============  =====================================  ===============  =============================
``fm``          flow matching; trained near the noise  –                N (Euler, Heun, midpoint)
``mse``         regression                             –                1
``snapflow``    SnapFlow                               s, the target    1
``meanflow``    MeanFlow                               h = t − r        N
``shortcut``    shortcut models                        d, the step      a power of two
``drift``       drifting                               –                1
``diffusion``   DDPM, DDIM                             –                N ≤ T
``keystone``    selection among K samples of any       –                K × N
``rtc``         guidance of a flow's steps             –                N ≥ 2
==============  =====================================  ===============  =============================

``field`` has the convention of time and sign, ``oracles`` the closed forms that all are tested
against. Methods know no robot, no simulator and no file format; importing this package loads torch.
"""

from vla_eval_policies.methods.drift import spread_to_error
from vla_eval_policies.methods.embedding import LOW_FREQUENCIES, SMOLVLA_PERIODS, TimeEmbedding
from vla_eval_policies.methods.field import Batch, Draw, ExtraTime, Field, local_velocity
from vla_eval_policies.methods.keystone import KeyStone, Selection
from vla_eval_policies.methods.method import Loss, Method, TrainingCost
from vla_eval_policies.methods.presets import KEYSTONE_PRESETS, PRESETS, Preset
from vla_eval_policies.methods.registry import METHODS, make_method
from vla_eval_policies.methods.rtc import RealTimeChunking

__all__ = [
    "KEYSTONE_PRESETS",
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
    "RealTimeChunking",
    "Selection",
    "TimeEmbedding",
    "TrainingCost",
    "local_velocity",
    "make_method",
    "spread_to_error",
]
