import math
import subprocess
import sys
from copy import deepcopy

import pytest
import torch
from torch import nn

from medenh import models
from medenh.errors import UsageError
from medenh.training.gradients import Promoter, combine

_GUARDED = ["off", "hard", "soft", "layer", "project"]


def _flat(tensors):
    return torch.cat([t.double().ravel() for t in tensors])


def _random(seed, count=5):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(3, 4), (7,), (2, 3, 3), (), (5,)][:count]
    return [torch.randn(s, generator=generator) for s in shapes]


def _network(**options):
    torch.manual_seed(0)
    network = models.create("srresnet", "tiny", **options)
    nn.init.normal_(network.tail.weight, std=0.02)  # a zero tail lets nothing through
    return network


def _recogniser():
    torch.manual_seed(1)
    return models.create("classifier", "tiny").eval().requires_grad_(False)


def _batch(count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(count, 3, 16, 16, generator=generator)
    noisy = clean + 0.2 * torch.randn(clean.shape, generator=generator)
    return noisy.clamp(0, 1), clean, torch.arange(count) % 2


def _losses(network, recogniser, batch):
    """Return both losses and the enhanced batch."""
    noisy, clean, labels = batch
    out = network(noisy)
    task = nn.functional.cross_entropy(recogniser(out), labels)
    return (out - clean).square().mean(), task, out


def _promote(promoter, primary, auxiliary, params, **options):
    params = list(params)
    promoter.accumulate(primary, auxiliary, params, **options)
    return promoter.finish(params)


def _train(promoter, steps=4, auxiliary=None):
    """Train a little; return weights and the optimiser's state."""
    network, recogniser = _network(), _recogniser()
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3)
    for step in range(steps):
        primary, task, _ = _losses(network, recogniser, _batch(seed=step))
        if auxiliary is not None:
            task = auxiliary(primary)
        optimiser.zero_grad()
        if promoter is None:
            primary.backward()
        else:
            _promote(promoter, primary, task, network.parameters())
        optimiser.step()
    state = optimiser.state_dict()["state"]
    moments = [v for entry in state.values() for v in entry.values()]
    return [*network.state_dict().values(), *moments]


def _same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


# --- what a rule promises ------------------------------------------------------------


def test_an_opposed_task_changes_nothing():
    alone = _train(None)
    assert _same(_train(Promoter("hard", 1.0), auxiliary=lambda loss: -loss), alone)
    assert not _same(_train(Promoter("sum", 1.0), auxiliary=lambda loss: -loss), alone)


@pytest.mark.parametrize("rule", ["hard", "soft", "layer", "project", "sum"])
def test_an_agreeing_task_is_added_whole(rule):
    g = _random(0)
    d, stats = combine(g, g, rule, lam=0.5)
    torch.testing.assert_close(_flat(d), 1.5 * _flat(g), rtol=1e-6, atol=0)
    assert stats.cosine == pytest.approx(1, abs=1e-6)
    assert stats.open == pytest.approx(1, abs=1e-6)
    assert stats.ratio == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(
    "promoter", [Promoter("off", 1.0), Promoter("hard", 0.0), Promoter("sum", 0.0)]
)
def test_without_a_task_every_bit_is_that_of_plain_training(promoter):
    assert _same(_train(promoter), _train(None))


@pytest.mark.parametrize("rule", _GUARDED)
@pytest.mark.parametrize("cap", [None, 0.3])
def test_the_primary_loss_never_pays(rule, cap):
    for seed in range(40):
        g, h, m = _random(seed), _random(100 + seed), _random(200 + seed)
        h = [3 * t for t in h]
        d, _ = combine(g, h, rule, lam=0.7, cap=cap)
        gg = _flat(g) @ _flat(g)
        assert _flat(g) @ _flat(d) >= gg * (1 - 1e-6)
        if cap is not None:
            taken = (_flat(d) - _flat(g)).norm()
            assert taken <= cap * gg.sqrt() * (1 + 1e-5)
        d, _ = combine(g, h, rule, lam=0.7, cap=cap, m=m)
        before = _flat(m) @ _flat(g)
        assert _flat(m) @ _flat(d) >= before - 1e-5 * abs(before)


def test_rules_agree_with_their_definitions():
    for seed in range(20):
        g, h, m = _random(seed), _random(50 + seed), _random(90 + seed)
        for reference in (None, m):
            r = g if reference is None else m
            a, b, v = _flat(g), _flat(h), _flat(r)
            c = (v @ b) / (v.norm() * b.norm())
            gates = [
                float((x.double() * y.double()).sum() > 0)
                for x, y in zip(r, h, strict=True)
            ]
            layered = [gate * t for gate, t in zip(gates, h, strict=True)]
            projected = b - min(0, v @ b) / (v @ v) * v
            expected = {
                "hard": b if c > 0 else 0 * b,
                "soft": max(0, c) * b,
                "layer": _flat(layered),
                "project": projected,
                "sum": b,
                "off": 0 * b,
            }
            for rule, part in expected.items():
                d, stats = combine(g, h, rule, lam=0.4, m=reference)
                torch.testing.assert_close(
                    _flat(d), a + 0.4 * part, rtol=1e-5, atol=1e-6
                )
                assert stats.cosine == pytest.approx(float(c), abs=1e-6)
                opened = float(part.norm() / b.norm())
                assert stats.open == pytest.approx(opened, abs=1e-5), rule


def test_two_quadratics_end_where_the_rule_says():
    """Minima at (0, 0) and (1, 1); steps of different length along the axes."""

    def end(promoter):
        point = torch.tensor([3.0, -1.0], requires_grad=True)
        optimiser = torch.optim.SGD([point], 0.02)
        weights = torch.tensor([1.0, 4.0])
        for _ in range(1500):
            optimiser.zero_grad()
            primary = (weights * point.square()).sum()
            _promote(promoter, primary, 2 * (point - 1).square().sum(), [point])
            optimiser.step()
        return point.detach()

    between = end(Promoter("sum", 1.0))
    torch.testing.assert_close(between, torch.tensor([2 / 3, 1 / 3]))
    assert end(Promoter("hard", 1.0, cap=0.5)).norm() < 1e-3
    assert end(Promoter("project", 1.0, cap=0.5)).norm() < 1e-3


# --- how the gradients are had -------------------------------------------------------


def test_both_gradients_are_those_of_plain_autograd():
    """In output space and out of it; and the recogniser stays as it was."""
    network, recogniser = _network(), _recogniser()
    before = deepcopy(recogniser.state_dict())
    params = list(network.parameters())
    primary, task, _ = _losses(network, recogniser, _batch())
    g = torch.autograd.grad(primary, params, retain_graph=True)
    h = torch.autograd.grad(task, params)
    expected, _ = combine(g, h, "project", 0.1)
    for through_output in (False, True):
        primary, task, out = _losses(network, recogniser, _batch())
        network.zero_grad()
        output = out if through_output else None
        _promote(Promoter("project", 0.1), primary, task, params, output=output)
        for p, d in zip(params, expected, strict=True):
            torch.testing.assert_close(p.grad, d, rtol=1e-5, atol=1e-8)
    assert all(p.grad is None for p in recogniser.parameters())
    for name, tensor in recogniser.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_joint_training_in_one_pass_is_the_rule_sum():
    network, recogniser = _network(), _recogniser()
    grads = []
    for cap in (None, 1e9):  # a cap wants both gradients apart
        network.zero_grad()
        primary, task, _ = _losses(network, recogniser, _batch())
        promoter = Promoter("sum", 0.3, cap=cap)
        stats = _promote(promoter, primary, task, network.parameters())
        assert math.isnan(stats.cosine) == (cap is None)
        grads.append([p.grad for p in network.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("rule", ["off", "hard", "layer", "project"])
def test_micro_batches_are_gated_once(rule):
    noisy, clean, labels = _batch(4)
    network, recogniser = _network(), _recogniser()
    params = list(network.parameters())
    primary, task, _ = _losses(network, recogniser, (noisy, clean, labels))
    whole = _promote(Promoter(rule, 0.05), primary, task, params)
    expected = [p.grad for p in params]
    network.zero_grad()
    promoter = Promoter(rule, 0.05)
    for part in (slice(0, 2), slice(2, 4)):
        batch = noisy[part], clean[part], labels[part]
        primary, task, _ = _losses(network, recogniser, batch)
        promoter.accumulate(primary / 2, task / 2, params)
    parts = promoter.finish(params)
    for p, d in zip(params, expected, strict=True):
        torch.testing.assert_close(p.grad, d, rtol=1e-4, atol=1e-7)
    if rule != "off":
        assert parts.cosine == pytest.approx(whole.cosine, abs=1e-4)


def test_a_micro_batch_without_an_answer_counts_as_primary():
    network, recogniser = _network(), _recogniser()
    params = list(network.parameters())
    (one, task, _), (two, _, _) = (
        _losses(network, recogniser, _batch(seed=s)) for s in (0, 1)
    )
    g = torch.autograd.grad(one + two, params, retain_graph=True)
    h = torch.autograd.grad(task, params, retain_graph=True)
    expected, _ = combine(g, h, "project", 0.1)
    promoter = Promoter("project", 0.1)
    promoter.accumulate(two, None, params)
    promoter.accumulate(one, task, params)
    promoter.finish(params)
    for p, d in zip(params, expected, strict=True):
        torch.testing.assert_close(p.grad, d, rtol=1e-4, atol=1e-7)


def test_running_mean_as_reference():
    generator = torch.Generator().manual_seed(0)
    p = torch.zeros(6, requires_grad=True)
    promoter = Promoter("project", 0.5, reference="ema")
    m = torch.zeros(6)
    for _ in range(5):
        g, h = torch.randn(2, 6, generator=generator)
        p.grad = None
        _promote(promoter, (g * p).sum(), (h * p).sum(), [p])
        m = 0.95 * m + 0.05 * g
        expected = g + 0.5 * (h - min(0, float(m @ h)) / (m @ m) * m)
        torch.testing.assert_close(p.grad, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["off", "sum", "hard"])
@pytest.mark.parametrize("scaled", [False, True])
def test_momentum_adds_the_running_mean_of_the_primary_gradient(rule, scaled):
    generator = torch.Generator().manual_seed(0)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0) if scaled else None
    p = torch.zeros(6, requires_grad=True)
    promoter = Promoter(rule, 0.5, momentum=1.05)
    m = torch.zeros(6)
    for _ in range(5):
        g, h = torch.randn(2, 6, generator=generator)
        p.grad = None
        _promote(promoter, (g * p).sum(), (h * p).sum(), [p], scaler=scaler)
        m = 0.95 * m + 0.05 * g
        open_ = {"off": 0.0, "sum": 1.0, "hard": float(g @ h > 0)}[rule]
        expected = g + 0.5 * open_ * h + 1.05 * m
        found = p.grad / (64 if scaled else 1)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_resumed_promoter_takes_the_same_step():
    first = Promoter("project", 0.05, reference="ema")
    network, recogniser = _network(), _recogniser()
    params = list(network.parameters())
    for seed in range(3):
        network.zero_grad()
        primary, task, _ = _losses(network, recogniser, _batch(seed=seed))
        _promote(first, primary, task, params)
    second = Promoter("project", 0.05, reference="ema")
    second.load_state_dict(deepcopy(first.state_dict()))
    fresh = Promoter("project", 0.05, reference="ema")
    grads = []
    for promoter in (first, second, fresh):
        network.zero_grad()
        primary, task, _ = _losses(network, recogniser, _batch(seed=7))
        _promote(promoter, primary, task, params)
        grads.append([p.grad for p in params])
    assert _same(grads[0], grads[1])
    assert not _same(grads[0], grads[2])


# --- what may go wrong ---------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_gradient_that_is_not_finite_is_left_out_and_counted(bad):
    used, idle = torch.ones(3, requires_grad=True), torch.ones(2, requires_grad=True)
    promoter = Promoter("project", 1.0, reference="ema")
    weight = torch.tensor([1.0, bad, 1.0])
    stats = _promote(promoter, used.square().sum(), (weight * used).sum(), [used, idle])
    assert torch.equal(used.grad, torch.full((3,), 2.0))
    assert stats.skipped
    assert promoter.summary()["skipped"] == 1
    # the primary one is not hidden: the loop must see it
    used.grad = None
    stats = _promote(promoter, (weight * used).sum(), used.sum(), [used, idle])
    assert not torch.isfinite(used.grad).all()
    assert not stats.skipped
    assert all(torch.isfinite(m).all() for m in promoter.state_dict()["mean"])


def test_joint_training_survives_a_task_without_a_number():
    p = torch.ones(3, requires_grad=True)
    promoter = Promoter("sum", 1.0)
    _promote(promoter, p.square().sum(), (math.inf * p).sum(), [p])
    assert torch.equal(p.grad, torch.full((3,), 2.0))
    assert promoter.summary()["skipped"] == 1


def test_half_precision_scaler_skips_for_g_and_not_for_h():
    def step(scale_g, scale_h):
        p = torch.ones(3, requires_grad=True)
        optimiser = torch.optim.SGD([p], 0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        primary = (scale_g * p).square().sum() / 2
        stats = _promote(
            Promoter("sum", 0.5, cap=9.0),
            primary,
            (scale_h * p).sum(),
            [p],
            scaler=scaler,
        )
        scaler.unscale_(optimiser)
        grad = p.grad.clone()
        scaler.step(optimiser)
        scaler.update()
        return p.detach(), grad, scaler.get_scale(), stats.skipped

    p, grad, scale, skipped = step(1.0, 1.0)
    assert torch.equal(grad, torch.full((3,), 1.5))
    assert (p < 1).all()
    assert scale == 1024
    assert not skipped
    p, _, scale, skipped = step(math.inf, 1.0)
    assert torch.equal(p, torch.ones(3))
    assert scale == 512
    assert not skipped
    p, grad, scale, skipped = step(1.0, math.inf)
    assert torch.equal(grad, torch.ones(3))
    assert (p < 1).all()
    assert scale == 1024
    assert skipped


def test_running_mean_does_not_depend_on_the_loss_scale():
    means = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=256.0)):
        p = torch.ones(3, requires_grad=True)
        promoter = Promoter("project", 0.5, reference="ema")
        _promote(promoter, p.square().sum(), p.sum(), [p], scaler=scaler)
        means.append(promoter.state_dict()["mean"][0])
    torch.testing.assert_close(*means)


def test_parameters_without_a_gradient():
    both, first, second, idle = (torch.ones(2, requires_grad=True) for _ in range(4))
    frozen, empty = torch.ones(2), torch.ones(0, requires_grad=True)
    params = [both, first, second, idle, frozen, empty]
    primary = (both + 2 * first).sum() + empty.sum()
    _promote(Promoter("hard", 0.5), primary, (both + second).sum(), params)
    assert torch.equal(both.grad, torch.full((2,), 1.5))
    assert torch.equal(first.grad, torch.full((2,), 2.0))
    assert torch.equal(second.grad, torch.full((2,), 0.5))
    assert idle.grad is None
    assert frozen.grad is None
    assert empty.grad.shape == (0,)
    stats = _promote(Promoter("hard", 0.5), both.sum(), second.sum(), [])
    assert stats.cosine == 0


@pytest.mark.parametrize("rule", [*_GUARDED, "sum"])
@pytest.mark.parametrize("cap", [None, 0.5])
def test_gradients_that_vanish(rule, cap):
    zero, some = [torch.zeros(3)], [torch.ones(3)]
    for g, h in ((zero, some), (some, zero), (zero, zero)):
        d, stats = combine(g, h, rule, 0.5, cap, m=None)
        assert torch.isfinite(d[0]).all()
        assert stats.cosine == 0
        assert g is zero or torch.equal(d[0], some[0])
    d, _ = combine(some, some, rule, 0.5, cap, m=zero)
    assert torch.isfinite(d[0]).all()


def test_a_loss_that_no_parameter_reaches_is_no_task():
    p = torch.ones(3, requires_grad=True)
    stats = _promote(Promoter("hard", 1.0), p.sum(), torch.tensor(2.0), [p])
    assert torch.equal(p.grad, torch.ones(3))
    assert math.isnan(stats.cosine)


def test_summary_is_the_mean_since_the_last_one():
    promoter = Promoter("hard", 0.5)
    assert math.isnan(promoter.summary()["cosine"])
    p = torch.ones(2, requires_grad=True)
    for sign in (1, 1, 1, -1):
        _promote(promoter, p.sum(), sign * p.sum(), [p])
    found = promoter.summary()
    assert found["cosine"] == pytest.approx(0.5)
    assert found["open"] == pytest.approx(0.75)
    assert found["ratio"] > 0
    assert math.isnan(promoter.summary()["open"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "soft-hard"}, "no rule"),
        ({"reference": "batches"}, "no reference"),
        ({"rule": "hard", "reference": "ema"}, "hardly ever"),
        ({"lam": -1.0}, "do not go"),
        ({"lam": math.nan}, "do not go"),
        ({"cap": -0.1}, "do not go"),
    ],
)
def test_impossible_settings_are_usage_errors(options, message):
    with pytest.raises(UsageError, match=message):
        Promoter(**options)


# --- several processes ---------------------------------------------------------------

_WORKER = """
import sys, torch
import torch.distributed as dist
from torch import nn
from medenh.training.gradients import Promoter, average_gradients

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group(
    "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
)
out = {}
for rule, reference in RULES:
    torch.manual_seed(0)
    net, task = nn.Linear(6, 5), nn.Linear(5, 3).requires_grad_(False)
    idle = nn.Parameter(torch.ones(2))
    params = [*net.parameters(), idle]
    promoter = Promoter(rule, 0.5, reference=reference)
    for step in range(3):
        x, y = torch.randn(8, 6), torch.randn(8, 5)
        labels = torch.randint(3, (8,))
        part = slice(4 * rank, 4 * rank + 4)
        made = net(x[part])
        primary = (made - y[part]).square().mean()
        auxiliary = nn.functional.cross_entropy(task(made), labels[part])
        for p in params:
            p.grad = None
        promoter.accumulate(primary, auxiliary, params)
        promoter.finish(params)
        with torch.no_grad():  # torch.optim takes a second to import
            for p in params[:2]:
                p -= 0.1 * p.grad
    out[rule, reference] = [p.detach() for p in params]
# one process alone has an answer
p = torch.ones(2, requires_grad=True)
promoter = Promoter("hard", 0.5)
promoter.accumulate((1 + rank) * p.sum(), p.sum() if rank else None, [p])
promoter.finish([p])
out["uneven"] = p.grad
p.grad = torch.full((2,), float(rank))
average_gradients([p, torch.ones(1), torch.ones(3, requires_grad=True)])
out["plain"] = p.grad
torch.save(out, f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""
_RULES = [
    ("off", "batch"),
    ("sum", "batch"),
    ("hard", "batch"),
    ("layer", "batch"),
    ("project", "ema"),
]


def _train_alone(rule, reference):
    """Train the worker's network on the joined batches, in this process."""
    torch.manual_seed(0)
    net, task = nn.Linear(6, 5), nn.Linear(5, 3).requires_grad_(False)
    params = [*net.parameters(), nn.Parameter(torch.ones(2))]
    promoter = Promoter(rule, 0.5, reference=reference)
    for _ in range(3):
        x, y, labels = torch.randn(8, 6), torch.randn(8, 5), torch.randint(3, (8,))
        made = net(x)
        auxiliary = nn.functional.cross_entropy(task(made), labels)
        for p in params:
            p.grad = None
        _promote(promoter, (made - y).square().mean(), auxiliary, params)
        with torch.no_grad():  # torch.optim takes a second to import
            for p in params[:2]:
                p -= 0.1 * p.grad
    return [p.detach() for p in params]


@pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="torch was built without gloo"
)
def test_two_processes_equal_one_on_the_joined_batch(tmp_path):
    code = _WORKER.replace("RULES", repr(_RULES))
    workers = [
        subprocess.Popen([sys.executable, "-c", code, str(rank), tmp_path.as_posix()])
        for rank in (0, 1)
    ]
    try:
        assert [worker.wait(60) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    one, two = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for key in _RULES:
        assert _same(one[key], two[key]), key
        for a, b in zip(one[key], _train_alone(*key), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(one["uneven"], torch.full((2,), 1.75))
    assert torch.equal(one["uneven"], two["uneven"])
    assert torch.equal(one["plain"], torch.full((2,), 0.5))


@pytest.mark.parametrize(
    ("rule", "signs", "told"),
    [
        ("hard", (1, -1), True),
        ("hard", (1, 1), False),  # agrees throughout
        ("project", (1, -1), False),  # has no gate
    ],
)
def test_a_gate_that_follows_the_noise_is_noticed(rule, signs, told):
    promoter = Promoter(rule, 0.5)
    weight = nn.Parameter(torch.ones(3))
    for step in range(60):
        if step == 30:  # a resumed run counts on
            state = promoter.state_dict()
            promoter = Promoter(rule, 0.5)
            promoter.load_state_dict(state)
        loss = weight.sum()
        promoter.accumulate(loss, signs[step % 2] * weight.sum(), [weight])
        promoter.finish([weight])
        weight.grad = None
        assert promoter.follows_noise is (told and step >= 49)
