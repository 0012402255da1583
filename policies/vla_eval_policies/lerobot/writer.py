"""Demonstrations as a LeRobotDataset v3.

===========================  ==============  =====================================================
column                       type            meaning
===========================  ==============  =====================================================
``observation.images.NAME``  video or png    camera NAME before the action
``observation.state``        float32 (D,)    ``agent_pos`` before the action
``action``                   float32 (A,)    as executed
``next.reward``              float32         the environment's reward for the action; a run's
                                             episodes have none
``next.score``               float32         partial credit after the action, 0 to 1
``next.success``             bool            whether the task is solved after the action
``next.done``                bool            whether the environment ended the episode
``key.suite``, ``key.task``  string          the episode's key, the same in all of its frames
``key.init_state``           int64
``key.env_seed``             int64
``key.policy_seed``          int64
``is_stalled``               bool            whether no action of the policy was there; in virtual
                                             time only
``arm``, ``outcome``,        string          of a run's episodes only: its arm, outcome and reason
``reason``
``inference``                int64           of a run's episodes only: the inference that the action
                                             came from, -1 where the robot stalled
``next.subgoals``            string          of a run's episodes only: the parts that are done, JSON
===========================  ==============  =====================================================

LeRobot adds ``task`` (the instruction), ``timestamp``, ``frame_index``, ``episode_index``, ``index``
and ``task_index``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vla_eval.errors import MissingExtraError
from vla_eval.recording.recorder import DatasetLayout, Frame

__all__ = ["LeRobotWriter", "features"]

_SCALARS = {
    "next.reward": "float32",
    "next.score": "float32",
    "next.success": "bool",
    "next.done": "bool",
    "key.suite": "string",
    "key.task": "string",
    "key.init_state": "int64",
    "key.env_seed": "int64",
    "key.policy_seed": "int64",
}


_EVALUATED = {
    "arm": "string",
    "outcome": "string",
    "reason": "string",
    "inference": "int64",
    "next.subgoals": "string",
}


def features(layout: DatasetLayout, images: Literal["video", "png"]) -> dict[str, dict[str, Any]]:
    """Return the dataset's columns as LeRobot declares them."""
    kind = "video" if images == "video" else "image"
    columns: dict[str, dict[str, Any]] = {
        f"observation.images.{name}": {
            "dtype": kind,
            "shape": shape,
            "names": ["height", "width", "channels"],
        }
        for name, shape in layout.cameras
    }
    for column, names in (
        ("observation.state", layout.state_names),
        ("action", layout.action_names),
    ):
        columns[column] = {"dtype": "float32", "shape": (len(names),), "names": list(names)}
    scalars = _SCALARS | ({"is_stalled": "bool"} if layout.stalls else {})
    if layout.evaluation:
        scalars = {name: kind for name, kind in scalars.items() if name != "next.reward"}
        scalars |= _EVALUATED
    for column, dtype in scalars.items():
        columns[column] = {"dtype": dtype, "shape": (1,), "names": None}
    return columns


def _further(frame: Frame) -> dict[str, Any]:
    """Return the columns in which a recording and a run's episodes differ."""
    found = frame.evaluated
    if found is None:
        return {"next.reward": np.array([frame.reward], dtype=np.float32)}
    return {
        "arm": found.arm,
        "outcome": found.outcome,
        "reason": found.reason,
        "inference": np.array([found.inference]),
        "next.subgoals": json.dumps(dict(found.subgoals), sort_keys=True),
    }


class LeRobotWriter:
    """Implements :class:`vla_eval.tools.DatasetWriter`.

    Args:
        folder: the dataset's root; must not exist, unless ``resume``.
        layout: cameras, states and actions of the frames.
        resume: append to the existing dataset.
        images: ``video`` (AV1, small, lossy) or ``png`` (exact).

    Raises:
        MissingExtraError: lerobot or its ``dataset`` extra is not installed.
    """

    def __init__(
        self, folder: Path, layout: DatasetLayout, *, resume: bool, images: Literal["video", "png"]
    ) -> None:
        # Level 1 prints errors only; by default the encoder prints a banner for every episode.
        os.environ.setdefault("SVT_LOG", "1")
        try:
            import av
            from lerobot.datasets.lerobot_dataset import LeRobotDataset
        except ImportError as error:
            raise MissingExtraError("writing a LeRobotDataset", "lerobot") from error
        av.logging.set_libav_level(av.logging.ERROR)
        # Without streaming every frame is first written as a png file, which takes twice the time.
        common = {"root": folder, "video_backend": "pyav", "streaming_encoding": images == "video"}
        self._dataset = (
            LeRobotDataset.resume(folder.name, **common)
            if resume
            else LeRobotDataset.create(
                folder.name,
                fps=layout.fps,
                features=features(layout, images),
                robot_type=layout.robot,
                use_videos=images == "video",
                **common,
            )
        )
        self._stalls = layout.stalls
        self._pending = 0

    def add(self, frame: Frame) -> None:
        """Append a frame to the current episode."""
        self._pending += 1
        self._dataset.add_frame(
            {
                **{
                    f"observation.images.{name}": picture
                    for name, picture in frame.observation["pixels"].items()
                },
                "observation.state": np.asarray(frame.observation["agent_pos"], dtype=np.float32),
                "action": frame.action,
                **_further(frame),
                "next.score": np.array([frame.score], dtype=np.float32),
                "next.success": np.array([frame.success]),
                "next.done": np.array([frame.done]),
                "key.suite": frame.key.suite,
                "key.task": frame.key.task,
                "key.init_state": np.array([frame.key.init_state]),
                "key.env_seed": np.array([frame.key.env_seed]),
                "key.policy_seed": np.array([frame.key.policy_seed]),
                "task": frame.instruction,
                **({"is_stalled": np.array([frame.is_stalled])} if self._stalls else {}),
            }
        )

    def end_episode(self, *, keep: bool) -> None:
        """Save or discard the current episode."""
        if self._pending and keep:
            import datasets

            datasets.disable_progress_bars()  # LeRobot switches them on again and again
            self._dataset.save_episode()
        elif self._pending:
            self._dataset.clear_episode_buffer()
        self._pending = 0

    def close(self) -> None:
        """Write footers and metadata; without this the dataset cannot be read."""
        self.end_episode(keep=False)
        self._dataset.finalize()
