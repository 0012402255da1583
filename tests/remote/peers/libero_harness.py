"""Runs with AllenAI's vla-eval: their LIBERO benchmark against a server. Prints their results.

Arguments: URL, output folder.
"""

import json
import sys

from vla_eval import api

if __name__ == "__main__":
    config = {
        "server": {"url": sys.argv[1], "timeout": 120},
        "output_dir": sys.argv[2],
        "render": "cpu",
        "benchmarks": [
            {
                "benchmark": "vla_eval.benchmarks.libero.benchmark:LIBEROBenchmark",
                "name": "libero_object",
                "episodes_per_task": 1,
                "max_tasks": 1,
                "max_steps": 12,
                "params": {"suite": "libero_object", "max_steps": 12},
            }
        ],
    }
    results = api.run(config, docker=False, no_save=True)
    print(json.dumps(results, default=str))
