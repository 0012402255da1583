"""Runs with AllenAI's vla-eval: their LIBERO benchmark against a server. Prints their results.

Arguments: URL, a folder to write to, LIBERO's assets.
"""

import json
import os
import sys
from pathlib import Path

url, folder, assets = sys.argv[1:]

# LIBERO asks on standard input where things are, unless this file says it.
os.environ["LIBERO_CONFIG_PATH"] = folder
(Path(folder) / "config.yaml").write_text("{}\n")
import libero.libero as library  # noqa: E402

library.set_libero_default_path()
library._assets_path_cache = assets  # its only way to use assets that are somewhere else

from vla_eval import api  # noqa: E402

if __name__ == "__main__":
    benchmark = {
        "benchmark": "vla_eval.benchmarks.libero.benchmark:LIBEROBenchmark",
        "name": "libero_object",
        "episodes_per_task": 2,
        "max_tasks": 1,
        "max_steps": 8,
        "params": {"suite": "libero_object", "max_steps": 8, "num_steps_wait": 2},
    }
    config = {
        "server": {"url": url, "timeout": 120},
        "output_dir": folder,
        "render": "gpu",  # EGL, which is software where there is no GPU
        "benchmarks": [benchmark],
    }
    results = api.run(config, docker=False, no_save=True)
    print(json.dumps(results, default=str))
