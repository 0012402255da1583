"""One configurable environment and a few policies for the tests of the evaluator.

Workers are spawned processes, so these have to be importable: the tests put ``tests/fakes`` on the
path, and children inherit it.
"""

import gymnasium

gymnasium.register("fakes/Point-v0", entry_point="fakes.env:PointEnv")
gymnasium.register("fakes/Plain-v0", entry_point="fakes.env:PlainEnv")
