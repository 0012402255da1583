"""A first look: step a task, plot what a policy sees, evaluate two policies on ten episodes.

    python examples/first_look.py
    python examples/first_look.py runs/another-folder

Run it as it is, or open it as a notebook (the cells begin with ``# %%``). It needs neither LIBERO nor torch.
"""

# %% A task is a Gymnasium environment
import argparse
import sys
from pathlib import Path

import gymnasium
import matplotlib.pyplot as plt

import vla_eval


def step_an_environment():
    """Turn the arm by hand for two seconds; return the last observation and the joint positions."""
    env = gymnasium.make("vla_eval_envs:so101/PickPlace-v0")
    observation, info = env.reset(seed=0, options={"init_state": 5})  # one of 200 frozen starts
    print(info["task"])
    print("action:", ", ".join(env.metadata["action_names"]))
    joints = []
    action = observation["agent_pos"]  # joint targets, in the same units: standing still
    for step in range(60):
        action[0] += 1.0  # degrees a step: turn to the right,
        action[1] += 0.5  # and lean forward
        observation, reward, terminated, truncated, info = env.step(action)
        joints.append(observation["agent_pos"])
        if step % 20 == 0:
            print(f"step {step}: reward {reward}, score {info['score']}, {info['subgoals']}")
        if terminated or truncated:  # solved, or out of time
            break
    env.close()
    return observation, joints


# %% An observation is pictures and joint positions
def plot(observation, joints, file):
    """Draw the last pictures of both cameras, and how two joints moved."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for axis, (name, picture) in zip(axes, observation["pixels"].items(), strict=False):
        axis.imshow(picture)
        axis.set_title(f"camera {name}, {picture.shape[1]} x {picture.shape[0]}")
        axis.axis("off")
    for index, name in enumerate(("shoulder_pan", "shoulder_lift")):
        axes[2].plot([position[index] for position in joints], label=name)
    axes[2].set(xlabel="step of 1/30 s", ylabel="degrees", title="agent_pos")
    axes[2].legend()
    figure.savefig(file, dpi=120)
    plt.close(figure)


# %% An evaluation runs policies under a protocol, on the same scenes
def evaluate(folder):
    """Run ten episodes of the scripted expert, with and without noise on its actions."""
    arms = {"noisy": "impaired:expert?action_noise=0.02", "expert": "expert"}
    summary = vla_eval.run(
        "so101-quickstart", arms, out=folder, overrides=["blocks.0.init_states.count=10"]
    )
    print(vla_eval.report_text(summary))
    return summary


# %% The guard is needed: an evaluation starts worker processes, which import this file
if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "out",
        nargs="?",
        type=Path,
        default=Path("runs/first-look"),
        help="folder (runs/first-look)",
    )
    # The arguments of a notebook are not for us.
    out = parser.parse_args([] if "ipykernel" in sys.modules else None).out
    out.mkdir(parents=True, exist_ok=True)
    plot(*step_an_environment(), out / "frame.png")
    evaluate(out / "run")
    print(f"\nthe picture is {out / 'frame.png'}, all records are in {out / 'run'}")
