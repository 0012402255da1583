# %% [markdown]
# # How many episodes does a claim need?
#
# No simulator is needed here: error rates and power are computed, and the whole notebook takes seconds.

# %%
import matplotlib.pyplot as plt
import numpy as np

from vla_eval.stats import PairedCase, PairedTable, episodes_per_arm, pairs_needed, wilson_interval

# %% [markdown]
# ## One rate
#
# Papers often run 20 to 50 episodes a task. Wilson's 95 % interval of a policy that succeeds in 90 % of them:

# %%
counts = np.array([20, 50, 100, 200, 500])
limits = np.array([wilson_interval(0.9 * n, n) for n in counts])
figure, axis = plt.subplots(figsize=(6, 2.8), layout="constrained")
axis.vlines(range(len(counts)), 100 * limits[:, 0], 100 * limits[:, 1], lw=6, alpha=0.6)
axis.scatter(range(len(counts)), [90] * len(counts), color="black", zorder=3)
axis.set(xticks=range(len(counts)), xticklabels=counts, xlabel="episodes", ylabel="success, %")
plt.show()
for n, (low, high) in zip(counts, limits, strict=True):
    print(f"{n:4d} episodes: {100 * low:.1f} to {100 * high:.1f} %")

# %% [markdown]
# ## Two policies: pairs help
#
# To show that a one-step student is not worse than its teacher by a margin, with a power of 80 %, both true rates being
# 90 %. In the same scenes with the same noise their outcomes are correlated, and correlation saves episodes.

# %%
margins = (0.03, 0.05, 0.10)
print(f"{'margin':>8}{'unpaired':>12}{'paired, 0.3':>14}{'paired, 0.6':>14}")
for margin in margins:
    unpaired = episodes_per_arm(0.9, 0.9, margin=margin)
    paired = [pairs_needed(PairedCase(0.9, correlation=rho), margin=margin) for rho in (0.3, 0.6)]
    print(f"{100 * margin:6.0f} % {unpaired:11d}{paired[0]:14d}{paired[1]:14d}")

# %% [markdown]
# ## The same counts, two conclusions
#
# 90 of 100 against 90 of 100. Unpaired, a loss of 8 points stays possible. If 88 scenes were won by both, the interval of
# the difference is narrow, although the rates are the same.

# %%
tables = {
    "all differ that can": PairedTable(n11=80, n10=10, n01=10, n00=0),
    "88 won by both": PairedTable(n11=88, n10=2, n01=2, n00=8),
}
figure, axis = plt.subplots(figsize=(6, 1.6), layout="constrained")
for row, (name, table) in enumerate(tables.items()):
    low, high = table.interval(alpha=0.10)
    axis.hlines(row, 100 * low, 100 * high, lw=6, alpha=0.6)
    print(f"{name}: {100 * low:+.1f} to {100 * high:+.1f} points (90 %, Tango)")
axis.axvline(-5, color="C3", ls="--")
axis.set(
    yticks=range(len(tables)),
    yticklabels=tables,
    ylim=(-0.6, 1.6),
    xlabel="difference, points; the margin is dashed",
)
plt.show()

# %% [markdown]
# `vlaeval plan PROTOCOL` computes the same for a protocol, and `vlaeval power` for any case.
