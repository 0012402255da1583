"""Prove that MuJoCo can render without a screen, by rendering; exit status 0 if it can, else 1.

    .venv/bin/python tools/check_gl.py

To look for libraries is not enough: libEGL is an empty shell until it finds the library of a vendor, which
may find no usable device.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

BACKENDS = ("egl", "osmesa")
RENDER = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom type='sphere' size='.5'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    assert renderer.render().std() > 1, "the picture is blank"
"""


def renders(backend: str) -> bool:
    """Return whether MuJoCo draws a sphere with this backend.

    Every backend gets its own process: MuJoCo binds a backend when it is imported, and a broken driver
    may end the process instead of raising.
    """
    # Mesa would keep its shaders in the home folder.
    environment = os.environ | {
        "MUJOCO_GL": backend,
        "PYOPENGL_PLATFORM": backend,
        "MESA_SHADER_CACHE_DISABLE": "true",
    }
    result = subprocess.run(
        [sys.executable, "-c", RENDER], env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        last_line = (result.stderr.strip() or "no message").splitlines()[-1]
        print(f"{backend}: {last_line}", file=sys.stderr)
    return result.returncode == 0


if __name__ == "__main__":
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    sys.exit(0 if any(map(renders, BACKENDS)) else 1)
