"""Publishing a run: a dataset repository with its evidence, and blocks for model cards; no network."""

from vla_eval.publish.folder import Benchmark, Published, publish

__all__ = ["Benchmark", "Published", "publish"]
