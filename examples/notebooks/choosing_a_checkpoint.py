# %% [markdown]
# # Choosing a checkpoint
#
# What a curve of success rates over a training is worth: simulated, so that the truth is known.
# `vla_eval.evaluate` and `vlaeval watch` use the same functions on real episodes.

# %%
import matplotlib.pyplot as plt
import numpy as np

from vla_eval.stats import AnytimeDifference, expected_excess, wilson_interval

rng = np.random.default_rng(5)

# %% [markdown]
# ## Ten equal checkpoints
#
# All succeed in 85 % of the cases. The curve of 50 episodes each still rises and falls, and its highest point is too high.

# %%
wins = rng.random((10, 50)) < 0.85
steps, rates = np.arange(1, 11) * 2000, wins.mean(axis=1)
low, high = np.array([wilson_interval(n, 50) for n in wins.sum(axis=1)]).T
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.fill_between(steps, 100 * low, 100 * high, alpha=0.2)
axis.plot(steps, 100 * rates, marker="o")
axis.axhline(85, color="black", ls=":", label="truth")
axis.set(xlabel="training step", ylabel="success, %")
axis.legend()
plt.show()
best = rates.argmax()
print(f"highest: step {steps[best]} with {100 * rates[best]:.0f} %")
print(
    f"too high on average, if all are equal: {100 * expected_excess(wins.astype(float)):.1f} points"
)

# %% [markdown]
# `expected_excess` needs no knowledge of the truth: outcomes of equal checkpoints on one state can be exchanged.
# A choice by development states does no harm: the chosen checkpoint is then certified once, on other states.

# %% [markdown]
# ## Worse, not worse, not yet
#
# Each pair with a frozen teacher adds evidence, and one may look after every pair. A claim is made when its e-value reaches
# 20; it is wrong with a chance of at most 5 %, however often one looks.

# %%
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
for name, chances in {
    "as good": (0.02, 0.96, 0.02),
    "10 points worse": (0.12, 0.86, 0.02),
    "40 points worse": (0.42, 0.56, 0.02),
}.items():
    pairs = rng.choice([-1.0, 0.0, 1.0], size=120, p=chances)
    looks = [AnytimeDifference(pairs[:n], pairs[:n], 0.10, 0.05) for n in range(1, 121)]
    lines = axis.plot([look.e_not_worse for look in looks], label=f"{name}: not worse by 10 points")
    axis.plot([look.e_worse for look in looks], ls="--", color=lines[0].get_color())
    first = next((n for n, look in enumerate(looks, 1) if look.standing != "not yet"), None)
    print(
        f"{name}: {looks[-1 if first is None else first - 1].standing}, after {first or 120} pairs"
    )
axis.axhline(20, color="black", ls=":")
axis.set(yscale="log", ylim=(1e-4, 1e6), xlabel="pairs", ylabel="e-value; dashed: worse")
axis.legend(fontsize="small")
plt.show()
