"""Losses and samplers against their equations, written out for a field that is linear in everything.

The field depends on the chunk and on both times, each with a weight of its own. Two samples have different
numbers of real entries, and no hyperparameter is 1 or equals another.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fakes.closed_forms import OracleField
from fakes.methods import generator
from vla_eval_policies.methods import Batch, ExtraTime, KeyStone, make_method
from vla_eval_policies.methods.diffusion import alpha_bars
from vla_eval_policies.methods.drift import drift_force, masked_std, spread_to_error
from vla_eval_policies.methods.field import reversed_field
from vla_eval_policies.methods.solvers import solve

BATCH, STEPS, SIZE = 2, 3, 2
SLOPE, BY_TIME, BY_EXTRA, SHIFT = 0.3, 0.7, -0.4, 0.15


def f(x, t, extra=0.0):
    """The field, for arrays with a time for each sample, or one for all."""
    wide = np.asarray(t, float).reshape(-1, 1, 1), np.asarray(extra, float).reshape(-1, 1, 1)
    return SLOPE * x + BY_TIME * wide[0] + BY_EXTRA * wide[1] + SHIFT


def field(kind: ExtraTime, scale: float = 1.0) -> OracleField:
    def formula(x, t, extra):
        by_extra = 0.0 if extra is None else BY_EXTRA * extra[:, None, None]
        return scale * (SLOPE * x + BY_TIME * t[:, None, None] + by_extra + SHIFT)

    return OracleField(formula, kind)


@pytest.fixture
def batch() -> Batch:
    actions = torch.linspace(-1.3, 0.9, BATCH * STEPS * SIZE, dtype=torch.float64)
    real = torch.ones(BATCH, STEPS, SIZE, dtype=torch.bool)
    real[1, 2], real[1, 1, 0] = False, False
    return Batch(actions.reshape(BATCH, STEPS, SIZE) ** 3, real)


def mean_square(error, batch: Batch) -> np.ndarray:
    """Mean over the real entries of each sample."""
    return np.array(
        [
            (one[mask] ** 2).mean()
            for one, mask in zip(np.asarray(error), batch.real.numpy(), strict=True)
        ]
    )


def noise_of(batch: Batch, g: torch.Generator) -> np.ndarray:
    return torch.randn(batch.actions.shape, generator=g).double().numpy()


def uniform(g: torch.Generator, *shape: int) -> np.ndarray:
    return torch.rand(*(shape or (BATCH,)), generator=g).double().numpy()


def times_of(g: torch.Generator, shift: float = 1.0) -> np.ndarray:
    u = 0.001 + 0.999 * uniform(g) ** (1 / 1.5)
    return shift * u / (1 + (shift - 1) * u)


def flow_error(batch: Batch, g: torch.Generator, extra, shift: float = 1.0) -> float:
    """‖ v(x_t, t) − (ε − a) ‖², with the extra time that asks for the local velocity."""
    a, noise = batch.actions.numpy(), noise_of(batch, g)
    t = times_of(g, shift)
    x = t[:, None, None] * noise + (1 - t)[:, None, None] * a
    return float(mean_square(f(x, t, extra(t)) - (noise - a), batch).mean())


def loss(name: str, kind: ExtraTime, batch: Batch, **options):
    return make_method(name, options).loss(field(kind), batch, generator(5))


def test_flow_matching(batch):
    """Shifted times; each sample's mean over its own entries, then the mean over samples."""
    found = loss("fm", ExtraTime.NONE, batch, shift=2.5).value
    assert float(found) == pytest.approx(flow_error(batch, generator(5), lambda t: 0 * t, 2.5))


def test_snapflow(batch):
    """α·flow + (1 − α)·λ·shortcut, with the target of three half-way stops."""
    found = loss("snapflow", ExtraTime.TARGET, batch, alpha=0.3, weight=0.6, substeps=3)
    g = generator(5)
    flow = flow_error(batch, g, lambda t: t)
    start = x = noise_of(batch, g)
    for t in (1, 2 / 3, 1 / 3):
        x = x - f(x, t, t) / 3
    shortcut = mean_square(f(start, 1, 0) - (start - x), batch).mean()
    assert found.logs == pytest.approx({"flow": flow, "shortcut": shortcut})
    assert float(found.value) == pytest.approx(0.3 * flow + 0.7 * 0.6 * shortcut)


def test_shortcut(batch):
    """(1 − β)·flow + β·consistency, whose target comes from the teacher's two half-steps."""
    method = make_method("shortcut", {"bootstrap": 0.3})
    found = method.taught_loss(
        field(ExtraTime.STEP), field(ExtraTime.STEP, 1.7), batch, generator(5)
    )
    g = generator(5)
    flow = flow_error(batch, g, lambda t: np.full_like(t, 1 / 128))
    noise = noise_of(batch, g)
    d = 0.5 ** torch.randint(7, (BATCH,), generator=g).numpy()
    t = d * (1 + np.floor(uniform(g) / d))
    wide = d[:, None, None]
    x = t[:, None, None] * noise + (1 - t)[:, None, None] * batch.actions.numpy()
    first = 1.7 * f(x, t, d / 2)
    second = 1.7 * f(x - wide / 2 * first, t - d / 2, d / 2)
    consistency = mean_square(f(x, t, d) - (first + second) / 2, batch).mean()
    assert found.logs == pytest.approx({"flow": flow, "consistency": consistency})
    assert float(found.value) == pytest.approx(0.7 * flow + 0.3 * consistency)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("target", ["derivative", "split"])
@pytest.mark.parametrize("times", ["uniform", "logit-normal"])
def test_meanflow(batch, reduction, target, times):
    """w·Δ² with w = (Δ² + c)^−(1 − γ), Δ² over the real entries, and the target of either kind."""
    options = {"gamma": 0.3, "c": 0.05, "flow_ratio": 0.0, "whole": 0.0}
    options |= {"reduction": reduction, "target": target, "times": times}
    found = loss("meanflow", ExtraTime.INTERVAL, batch, **options)
    g = generator(5)
    a, noise = batch.actions.numpy(), noise_of(batch, g)
    if times == "uniform":
        pair = uniform(g, 2, BATCH)
    else:
        normal = torch.randn(2, BATCH, generator=g).double().numpy()
        pair = 1 / (1 + np.exp(0.4 - normal))
    t, h = pair.max(0), pair.max(0) - pair.min(0)
    torch.rand(2, BATCH, generator=g)  # decides which intervals are whole or empty: none
    z, v, wide = t[:, None, None] * noise + (1 - t)[:, None, None] * a, noise - a, h[:, None, None]
    if target == "derivative":
        goal = v - wide * (SLOPE * v + BY_TIME + BY_EXTRA)
    else:
        share = uniform(g)
        part = share[:, None, None]
        start = f(z, t, share * h)
        rest = f(z - part * wide * start, t - share * h, (1 - share) * h)
        goal = part * start + (1 - part) * rest
    error = mean_square(f(z, t, h) - goal, batch)
    if reduction == "sum":
        error = error * batch.real.flatten(1).sum(1).numpy()
    assert float(found.value) == pytest.approx(np.mean(error * (error + 0.05) ** -0.7), rel=1e-5)
    assert found.logs == pytest.approx({"error": error.mean()}, rel=1e-5)


def test_regression_and_diffusion(batch):
    """f(0, 1) stands for −a; diffusion predicts the noise at (k + 1)/T."""
    actions = batch.actions.numpy()
    found = float(loss("mse", ExtraTime.NONE, batch).value)
    assert found == pytest.approx(mean_square(f(0 * actions, 1) + actions, batch).mean())
    found = float(loss("ddpm", ExtraTime.NONE, batch, timesteps=7).value)
    g = generator(5)
    noise, k = noise_of(batch, g), torch.randint(7, (BATCH,), generator=g).numpy()
    bar = alpha_bars(7).numpy()[k][:, None, None]
    x = np.sqrt(bar) * actions + np.sqrt(1 - bar) * noise
    assert found == pytest.approx(mean_square(f(x, (k + 1) / 7) - noise, batch).mean())


X = torch.tensor([[[0.4, -1.1]], [[2.0, 0.3]]], dtype=torch.float64)


def sampled(name: str, kind: ExtraTime, nfe: int, **options) -> np.ndarray:
    return make_method(name, options).sample(field(kind), lambda: X, nfe).numpy()


def test_samplers_ask_at_both_times():
    """SnapFlow's one jump, MeanFlow's and the shortcut's equal ones, the walk of the local velocity."""
    x = X.numpy()
    np.testing.assert_allclose(sampled("snapflow", ExtraTime.TARGET, 1), x - f(x, 1, 0))
    np.testing.assert_allclose(sampled("mse", ExtraTime.NONE, 1), -f(0 * x, 1))
    for name, kind in (("meanflow", ExtraTime.INTERVAL), ("shortcut", ExtraTime.STEP)):
        half = x - f(x, 1, 0.5) / 2
        np.testing.assert_allclose(sampled(name, kind, 2), half - f(half, 0.5, 0.5) / 2)
    half = x - f(x, 1, 1) / 2
    walked = half - f(half, 0.5, 0.5) / 2
    np.testing.assert_allclose(sampled("fm", ExtraTime.TARGET, 2), walked)
    noise, a = X.numpy(), -f(X.numpy(), 1)
    np.testing.assert_allclose(sampled("drift", ExtraTime.NONE, 1), noise + a)
    np.testing.assert_allclose(sampled("drift", ExtraTime.NONE, 1, output="direct"), a)


def test_solvers_on_a_velocity_that_changes_with_time():
    """Two steps of each, written out; Heun's last one is an Euler step."""

    def v(x, t):
        return SLOPE * x + t**2

    def solved(solver, nfe):
        return solve(solver, lambda x, t: v(x, t[:, None, None]), X, nfe).numpy()

    x = X.numpy()
    one = x - v(x, 1) / 2
    np.testing.assert_allclose(solved("euler", 2), one - v(one, 0.5) / 2)
    ahead = x - v(x, 1) / 2
    one = x - (v(x, 1) + v(ahead, 0.5)) / 4
    np.testing.assert_allclose(solved("heun", 3), one - v(one, 0.5) / 2)
    one = x - v(x - v(x, 1) / 4, 0.75) / 2
    two = one - v(one - v(one, 0.5) / 4, 0.25) / 2
    np.testing.assert_allclose(solved("midpoint", 4), two)


def test_reversed_time():
    """v(x, t) = −v'(x, 1 − t); with a second time there is no such thing."""
    x = X.numpy()
    turned = reversed_field(field(ExtraTime.NONE))
    for one in (turned, turned.repeat(1)):
        np.testing.assert_allclose(one(X, torch.full((2,), 0.2)).numpy(), -f(x, 0.8))
    with pytest.raises(ValueError, match="'target' cannot be reversed"):
        reversed_field(field(ExtraTime.TARGET))


def soft_max(values: np.ndarray, axis: int) -> np.ndarray:
    shares = np.exp(values - values.max(axis, keepdims=True))
    return shares / shares.sum(axis, keepdims=True)


def drift(g, a, real, problems, temperatures):
    """V and σ by the equations of the module, one problem and one observation at a time."""
    count, many = g.shape[:2]
    force, scale = np.zeros(g.shape), np.zeros(g.shape[2:])
    for places in problems:
        pairs = []
        for b in range(count):
            kept = [place for place in places if real[b][place]]
            if kept:
                own = np.array([[g[b, i][place] for place in kept] for i in range(many)])
                demo = np.array([[a[b][place] for place in kept]])
                pairs.append((b, kept, own, np.concatenate([own, demo])))
        apart = [
            np.sqrt(np.maximum(((y[None] - own[:, None]) ** 2).sum(-1), 1e-8))
            for _, _, own, y in pairs
        ]
        mean = np.mean([each.mean() for each in apart])
        sigma = mean / np.sqrt(np.mean([len(kept) for _, kept, _, _ in pairs]))
        for r in temperatures:
            pulls = []
            for (_, _, own, y), d in zip(pairs, apart, strict=True):
                near = d / mean
                near[np.arange(many), np.arange(many)] += 100
                rows, columns = soft_max(-near / r, 1), soft_max(-near / r, 0)
                weight = np.sqrt(np.maximum(rows * columns, 1e-6))
                siblings, demos = weight[:, :many], weight[:, many:]
                w = np.hstack([-siblings * demos.sum(1, keepdims=True),
                               demos * siblings.sum(1, keepdims=True)])  # fmt: skip
                pulls.append((w[:, :, None] * (y[None] - own[:, None])).sum(1) / sigma)
            rms = np.sqrt(np.mean(np.concatenate([pull.ravel() for pull in pulls]) ** 2))
            for (b, kept, _, _), pull in zip(pairs, pulls, strict=True):
                for i in range(many):
                    for column, place in enumerate(kept):
                        force[b, i][place] += pull[i, column] / rms
        for place in places:
            scale[place] = sigma
    return force, scale


PROBLEMS = {
    "chunk": [[(h, d) for h in range(STEPS) for d in range(SIZE)]],
    "timestep": [[(h, d) for d in range(SIZE)] for h in range(STEPS)],
    "action-dimension": [[(h, d) for h in range(STEPS)] for d in range(SIZE)],
}


@pytest.mark.parametrize("grouping", list(PROBLEMS))
def test_drift_force(batch, grouping):
    """The published force: mutual affinities, repulsion weighed by attraction, a mean square of 1 each."""
    g = torch.randn(BATCH, 4, STEPS, SIZE, generator=generator(2), dtype=torch.float64)
    force, sigma = drift_force(
        g, batch.actions, batch.real, temperatures=(0.05, 0.4), grouping=grouping
    )
    expected, scale = drift(
        g.numpy(), batch.actions.numpy(), batch.real.numpy(), PROBLEMS[grouping], (0.05, 0.4)
    )
    np.testing.assert_allclose(force.numpy(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(np.broadcast_to(sigma, g.shape)[0, 0], scale, rtol=1e-12)


def test_drift_loss_and_its_guards(batch):
    """‖V‖² over the real entries of all samples; spread and collapse guard from their definitions."""
    method = make_method("drift", {"samples": 3, "temperatures": (0.1,), "grouping": "chunk"})
    found = method.loss(field(ExtraTime.NONE), batch, generator(5))
    many = batch.repeat(3)
    noise = many.noise(generator(5)).numpy()
    g = (noise - f(noise, 1)).reshape(BATCH, 3, STEPS, SIZE)
    a, real = batch.actions.numpy(), batch.real.numpy()
    force, _ = drift(g, a, real, PROBLEMS["chunk"], (0.1,))
    kept = np.broadcast_to(real[:, None], g.shape)
    assert float(found.value) == pytest.approx((force[kept] ** 2).mean(), rel=1e-4)
    variance = g.var(1, ddof=1)
    assert found.logs["spread"] == pytest.approx(np.sqrt(variance[real].mean()), rel=1e-5)
    error = ((g.mean(1) - a) ** 2)[real].sum() / (1 + 1 / 3)
    assert found.logs["spread_to_error"] == pytest.approx(variance[real].sum() / error, rel=1e-5)
    tensors = torch.from_numpy(g), batch.actions, batch.real
    assert masked_std(tensors[0], batch.real) == pytest.approx(found.logs["spread"], rel=1e-5)
    assert spread_to_error(*tensors) == pytest.approx(found.logs["spread_to_error"], rel=1e-5)


def chosen(values: list[float], **options):
    return KeyStone(**options).select(np.array(values, np.float32).reshape(-1, 1, 1))


def test_keystone_by_hand():
    """Seven numbers in two camps of five and two, whose first two are the first centres."""
    values = [10.0, 11.0, 0.0, 0.5, 11.8, 13.0, 14.0]
    found = chosen(values, guard=0.0)
    assert found.index == 4, "the middle one of 10, 11, 11.8, 13, 14"
    assert not found.unimodal
    pairs = np.median([abs(x - y) for i, x in enumerate(values) for y in values[:i]])
    assert found.spread == pytest.approx(abs(np.mean(values) - 11.0) / pairs, rel=1e-6)
    fires = chosen(values, guard=found.spread + 1e-6)
    assert (fires.index, fires.unimodal) == (1, True), "the medoid of all"
    assert not chosen(values, guard=found.spread - 1e-6).unimodal
    assert chosen(values[::-1], guard=0.0).index == 2


def test_keystone_with_as_many_clusters_as_candidates():
    """Then there is nothing to cluster; one more candidate and there is."""
    assert chosen([0.0, 5.0], clusters=2, guard=0.0).unimodal
    assert not chosen([0.0, 5.0, 5.5], clusters=2, guard=0.0).unimodal
    assert chosen([0.0, 5.0, 5.5], clusters=2, guard=0.0).index in (1, 2)
    assert chosen([0.0, 5.0, 5.5], clusters=3, guard=0.0).unimodal


def test_keystone_walks_its_centres_until_they_rest():
    """From two centres at one end it takes four rounds until the camps are six and five."""
    values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 20.0, 21.0, 22.0, 23.0, 24.0]
    assert chosen(values, guard=0.0).index in (2, 3)
