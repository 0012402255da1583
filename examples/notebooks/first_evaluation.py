# %% [markdown]
# # A first evaluation
#
# Two scripted policies for a simulated SO-101 arm, in the same ten scenes. It needs the extra `so101`, no torch and
# no GPU, and takes less than half a minute.

# %% [markdown]
# ## A task is a Gymnasium environment
#
# A numbered start decides the scene. An observation is pictures and joint positions.

# %%
import gymnasium
import matplotlib.pyplot as plt

import vla_eval

env = gymnasium.make("vla_eval_envs:so101/PickPlace-v0", image_size=256)
observation, info = env.reset(seed=0, options={"init_state": 5})
env.close()
figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained")
for axis, (name, picture) in zip(axes, observation["pixels"].items(), strict=True):
    axis.imshow(picture)
    axis.set(title=f"camera {name}", xticks=[], yticks=[])
figure.suptitle(info["task"])
plt.show()

# %% [markdown]
# ## A run: policies under a protocol
#
# The protocol fixes tasks, starts, time limit and statistics. Here only the number of starts is changed, which changes
# its hash and marks the run as modified. The same call continues a run that was interrupted.

# %%
arms = {"noisy": "impaired:expert?action_noise=0.02", "expert": "expert"}
summary = vla_eval.run(
    "so101-quickstart", arms, out="runs/notebook", overrides=["blocks.0.init_states.count=10"]
)
print(vla_eval.report_text(summary))

# %% [markdown]
# ## Episodes are pairs
#
# Both policies met the same scenes, so each start gives a pair. Where both succeed or both fail, the pair says nothing
# about their difference; the others decide.

# %%
from pathlib import Path

from vla_eval.runs.folder import RunFolder

folder = RunFolder.open(Path("runs/notebook"))
results = {(arm, key.init_state): each for (arm, key), each in folder.records().final.items()}
starts = sorted({start for _, start in results})
figure, axis = plt.subplots(figsize=(7, 1.5), layout="constrained")
for row, arm in enumerate(arms):
    for start in starts:
        won = results[arm, start].outcome == "success"
        axis.scatter(start, row, marker="o" if won else "x", color="C0" if won else "C3", s=80)
axis.set(
    yticks=range(len(arms)),
    yticklabels=arms,
    xticks=starts,
    xlabel="initial state",
    ylim=(-0.6, 1.6),
)
plt.show()

# %% [markdown]
# ## A failure, shown again
#
# A run keeps the executed actions. An episode is shown again from them, without its policy, and compared with its record
# on the way.

# %%
from vla_eval.playback import play
from vla_eval.runs.traces import Traces

failed = next(
    each
    for each in folder.records().final.values()
    if (each.arm, each.outcome) == ("noisy", "failure")
)
moments = list(play(folder, failed, Traces(folder.path).get(failed), size=256))
chosen = [moments[round(i * (len(moments) - 1) / 4)] for i in range(5)]
figure, axes = plt.subplots(1, 5, figsize=(10, 2.4), layout="constrained")
for axis, moment in zip(axes, chosen, strict=True):
    axis.imshow(next(iter(moment.frames.values())))
    axis.set(title=f"step {moment.step}", xticks=[], yticks=[])
figure.suptitle(f"{failed.key}: {failed.reason}, score {failed.score:g}")
plt.show()
