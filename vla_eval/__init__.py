"""vla_eval: is this one-step policy as good as its ten-step teacher?

A policy-agnostic evaluator for Gymnasium environments: fixed protocols, episodes paired arm by arm,
honest intervals. The command line is ``vlaeval``; the same from Python::

    import vla_eval

    if __name__ == "__main__":
        arms = {"noisy": "impaired:expert?action_noise=0.1", "expert": "expert"}
        summary = vla_eval.run("so101-quickstart", arms, out="runs/mine")
        print(vla_eval.report_text(summary))

Names are imported when they are first used, so that ``vlaeval --help`` need not wait for NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vla_eval.catalog import Cost, Suite, Task
    from vla_eval.engine.runner import run
    from vla_eval.environment import EvalEnv, make_env
    from vla_eval.errors import VlaEvalError
    from vla_eval.evaluation.evaluate import evaluate
    from vla_eval.evaluation.result import Evaluation
    from vla_eval.keys import BlindKey, EpisodeKey
    from vla_eval.plan import expand
    from vla_eval.policy import ActionChunk, Context, Policy, PolicyFactory, PolicyMetadata
    from vla_eval.policy_check import check_policy
    from vla_eval.protocol import Protocol
    from vla_eval.released import load_protocol
    from vla_eval.summary.model import RunSummary, summarise
    from vla_eval.summary.text import report_text

_HOMES = {
    "ActionChunk": "policy",
    "BlindKey": "keys",
    "Context": "policy",
    "Cost": "catalog",
    "EpisodeKey": "keys",
    "EvalEnv": "environment",
    "Evaluation": "evaluation.result",
    "Policy": "policy",
    "PolicyFactory": "policy",
    "PolicyMetadata": "policy",
    "Protocol": "protocol",
    "RunSummary": "summary.model",
    "Suite": "catalog",
    "Task": "catalog",
    "VlaEvalError": "errors",
    "check_policy": "policy_check",
    "evaluate": "evaluation.evaluate",
    "expand": "plan",
    "load_protocol": "released",
    "make_env": "environment",
    "report_text": "summary.text",
    "run": "engine.runner",
    "summarise": "summary.model",
}

__all__ = [
    "ActionChunk",
    "BlindKey",
    "Context",
    "Cost",
    "EpisodeKey",
    "EvalEnv",
    "Evaluation",
    "Policy",
    "PolicyFactory",
    "PolicyMetadata",
    "Protocol",
    "RunSummary",
    "Suite",
    "Task",
    "VlaEvalError",
    "check_policy",
    "evaluate",
    "expand",
    "load_protocol",
    "make_env",
    "report_text",
    "run",
    "summarise",
]


if not TYPE_CHECKING:  # a type checker would believe that the module has every name

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'vla_eval' has no attribute '{name}'")
        value = getattr(import_module(f"vla_eval.{_HOMES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
