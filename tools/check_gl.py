"""Prove that MuJoCo can render without a screen, by rendering; exit status 0 if it can.

Looking for libraries does not tell: libEGL is an empty shell until it finds a vendor's library,
and that one may find no usable device.
"""

from __future__ import annotations

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
    """Whether MuJoCo draws a sphere with this backend.

    Each backend gets a process of its own: MuJoCo binds one when it is imported, and a broken
    driver may end the process instead of raising.
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
    sys.exit(0 if any(map(renders, BACKENDS)) else 1)
