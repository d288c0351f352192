"""Every strategy trains, validates, resumes bit for bit, and does what it says."""

import csv
import itertools
import math

import numpy as np
import pytest
import torch
from labelled_pack import write_pack
from run_states import assert_same_state
from torch import nn

from medenh import models
from medenh.errors import UsageError
from medenh.losses.features import regularised_features
from medenh.losses.lighting import illumination
from medenh.metrics import METRICS
from medenh.training import task_validation
from medenh.training.bilevel import look_ahead_gradient
from medenh.training.config_file import load_config
from medenh.training.loop import train
from medenh.training.objectives import answer, segmentation_term
from medenh.training.sections import OptimiserConfig
from medenh.training.strategies import STRATEGIES as KINDS
from medenh.training.strategies.mean_teacher import consistency, consistency_weight
from medenh.training.strategies.promotion import Promotion
from medenh.training.task_loss import TaskLoss
from medenh.training.update import Losses, Networks, Update, frozen

STRATEGIES = {
    "supervised": ["network.architecture=nafnet", "network.preset=tiny"],
    "adversarial": ["network.architecture=srresnet", "network.preset=tiny",
                    "adversarial.discriminator=patch"],
    "mean-teacher": ["network.architecture=mage", "network.preset=tiny",
                     "data.real_recipes={dpe-gauss=1.0}", "teacher.batch=2",
                     "loss.edge=1.0"],
    "hq-guided": ["network.architecture=hqg", "network.preset=tiny", "data.size=48",
                  "data.real_recipes={dpe-gauss=1.0}", "guided.pair_steps=1"],
    "still-gan": ["network.architecture=stillgan", "network.preset=tiny",
                  "data.real_recipes={dpe-gauss=1.0}"],
}  # fmt: skip
FIRST_FIGURE = {"hq-guided": "score", "still-gan": "score"}


@pytest.fixture
def settings(tiny_settings):
    return [*tiny_settings, "condition_batch=0", "teacher_share=0", "batch=2",
            "steps=3", "validate_every=3", "data.validation_images=2",
            "adversarial.width=8", "data.packs=['fundus']",
            "loss.gradient=0"]  # fmt: skip


def _config(settings, strategy, *more):
    own = [f"strategy={strategy}", *STRATEGIES[strategy]]
    return load_config("dpe-general", [*settings, *own, *more])


def _state(folder):
    return torch.load(folder / "last.pt", weights_only=True)


@pytest.mark.parametrize(
    ("pair_steps", "recipes", "told"),
    [(1, "{dpe=1.0}", False), (0, "{dpe=1.0}", True), (0, "{}", False)],
)
def test_recipes_that_a_guided_run_has_no_use_for_are_told(
    settings, caplog, pair_steps, recipes, told
):
    more = [f"guided.pair_steps={pair_steps}", f"data.recipes={recipes}"]
    KINDS["hq-guided"](_config(settings, "hq-guided", *more))
    assert ("data.recipes are not learnt from" in caplog.text) is told


@pytest.mark.parametrize(("pair_steps", "told"), [(2, False), (3, True)])
def test_a_guided_run_on_pairs_alone_is_told(settings, caplog, pair_steps, told):
    config = _config(settings, "hq-guided", f"guided.pair_steps={pair_steps}")
    KINDS["hq-guided"](config)
    message = "guided.pair_steps 3 is not below steps 3"
    assert (message in caplog.text) is told


@pytest.mark.parametrize("guide", ["other", "own"])
def test_who_guides_in_pair_steps(settings, monkeypatch, guide):
    more = [f'guided.pair_reference="{guide}"', "guided.pair_steps=2"]
    strategy = KINDS["hq-guided"](_config(settings, "hq-guided", *more))
    network = models.create("hqg", "tiny")
    network.default_code.fill_(0.5)
    network.sample_code = lambda mean, spread: mean
    codes = []
    plain = network.enhance
    monkeypatch.setattr(
        network, "enhance", lambda low, code: codes.append(code) or plain(low, code)
    )
    own = 0
    for step in range(2):
        batch = strategy.draw(step, range(2))
        shown = strategy.names(step, range(2))
        assert len(shown) == (4 if guide == "other" else 2)
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        strategy._pair_losses(network, tensors)
        answer = torch.rot90(tensors["high"], dims=(2, 3))
        mean = network.encode(tensors.get("reference", answer))[0]
        if guide == "own" and step == 0:
            assert codes[-1] is network.default_code
        else:
            torch.testing.assert_close(codes[-1], mean)
        own += torch.equal(tensors.get("reference", answer[:0]), answer)
    assert own == (guide == "own")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_resume_equals_the_undisturbed_run_bit_for_bit(settings, tmp_path, strategy):
    config = _config(settings, strategy, "validate_every=1")
    result = train(config, tmp_path / "whole")
    assert result.finished
    assert result.score == FIRST_FIGURE.get(strategy, "psnr")
    assert math.isfinite(result.best)
    assert train(config, tmp_path / "parts", max_minutes=0).step == 1
    train(config, tmp_path / "parts", resume=True)
    whole, parts = _state(tmp_path / "whole"), _state(tmp_path / "parts")
    assert_same_state(whole["update"], parts["update"])
    assert_same_state(whole["strategy"], parts["strategy"])
    rows = list(csv.DictReader((tmp_path / "whole" / "log.csv").open()))
    assert float(rows[-1]["loss"]) == pytest.approx(
        sum(float(v) for k, v in rows[-1].items() if k in _TERMS and v),
        rel=1e-3,
    )
    assert (tmp_path / "whole" / "samples.png").exists()


_TERMS = (
    "charbonnier", "edge", "log_mse", "adversarial", "features", "consistency",
    "wavelet", "identity", "kl", "illumination", "cycle", "structure",
)  # fmt: skip


def test_a_run_resumed_with_other_settings_is_refused(settings, tmp_path):
    train(_config(settings, "supervised"), tmp_path / "run", max_minutes=0)
    other = _config(settings, "supervised", "optimiser.lr=0.5")
    with pytest.raises(Exception, match="other settings: optimiser"):
        train(other, tmp_path / "run", resume=True)
    longer = _config(settings, "supervised", "steps=4")
    assert train(longer, tmp_path / "run", resume=True).step == 4


def test_parts_of_a_batch_add_up_to_it(settings, tmp_path):
    """Two halves, one after the other, take the step that the whole batch takes."""
    more = ["loss.log_mse=0", "steps=2", "optimiser.weight_decay=0", "batch=4"]
    for name, parts in (("whole", 1), ("parts", 2)):
        config = _config(settings, "supervised", *more, f"accumulate={parts}")
        train(config, tmp_path / name)
    networks = [_state(tmp_path / n)["update"]["networks"] for n in ("whole", "parts")]
    for name, tensor in networks[0]["network"].items():
        torch.testing.assert_close(
            tensor, networks[1]["network"][name], rtol=1e-3, atol=2e-5
        )


def test_a_loss_that_is_no_number_names_its_images(settings, tmp_path):
    config = _config(
        settings, "supervised", "optimiser.lr=1e30", "optimiser.warmup_steps=0"
    )
    with pytest.raises(Exception, match=r"at step \d on fundus/images/\d+.png"):
        train(config, tmp_path / "run")


# --- mean teacher ---------------------------------------------------------------------


def test_the_feature_term_may_see_by_the_discriminator_and_teaches_it_nothing(
    settings, tmp_path
):
    config = _config(settings, "adversarial", "adversarial.features=discriminator")
    strategy = KINDS["adversarial"](config)
    network = models.create("srresnet", "tiny")
    judge = strategy.companions(network)["discriminator"]
    batch = {n: torch.from_numpy(a) for n, a in strategy.draw(0, range(2)).items()}
    with frozen(judge):
        found = strategy._judged(judge)(network, batch)
        torch.stack(list(found.terms.values())).sum().backward()
    pair = found.enhanced.detach(), batch["high"]
    expected = regularised_features(*pair, judge.features)
    torch.testing.assert_close(found.terms["features"].detach(), expected)
    assert expected > 0
    assert all(p.grad is None for p in judge.parameters())
    assert train(config, tmp_path / "run").finished


def test_the_discriminator_may_have_the_released_codes_ring(settings):
    more = ["network.architecture=dpe", "network.preset=default"]
    kinds = {}
    for name in ("dpe", "dpe-compat"):
        own = [*more, f"adversarial.discriminator={name}"]
        strategy = KINDS["adversarial"](_config(settings, "adversarial", *own))
        kinds[name] = strategy.companions(nn.Identity())["discriminator"].last.padding
    assert kinds == {"dpe": (0, 0), "dpe-compat": (1, 1)}


def test_consistency_rises_as_a_gaussian():
    weights = [consistency_weight(step, 0.1, 0.5, 100) for step in range(0, 101, 5)]
    assert weights[0] == pytest.approx(0.1 * math.exp(-5))
    assert weights[10] == weights[-1] == pytest.approx(0.1)
    assert all(a < b for a, b in itertools.pairwise(weights[:11]))


def test_consistency_counts_every_stage_and_side():
    torch.manual_seed(0)
    network = models.create("mage", "tiny").train()
    one, two = (answer(network, torch.rand(1, 3, 32, 32)) for _ in range(2))
    expected = sum(
        ((a - b) ** 2).mean() for a, b in zip(one.images, two.images, strict=True)
    )
    expected += sum(
        ((a.softmax(1) - b.softmax(1)) ** 2).mean()
        for a, b in zip(one.sides, two.sides, strict=True)
    )
    torch.testing.assert_close(consistency(one, two), expected)
    assert consistency(one, one).item() == 0


def test_the_teacher_copies_at_first_and_gets_no_gradient():
    network = nn.Linear(2, 1)
    networks = Networks(network, {})
    with torch.no_grad():
        network.weight.fill_(3.0)
    networks.move_average(0.999, 0)
    assert torch.equal(networks.average.weight, network.weight)
    with torch.no_grad():
        network.weight.fill_(4.0)
    networks.move_average(0.999, 1)
    torch.testing.assert_close(networks.average.weight, torch.full((1, 2), 3.9))
    networks.move_average(0.999, 100_000)
    torch.testing.assert_close(
        networks.average.weight, torch.full((1, 2), 3.9 + 0.001 * 0.1)
    )
    assert not any(p.requires_grad for p in networks.average.parameters())


def test_without_real_images_gradients_are_the_supervised_ones(settings, tmp_path):
    config = _config(settings, "mean-teacher")
    strategy = KINDS["mean-teacher"](config)
    batch = strategy.draw(0, range(2))
    tensors = {k: torch.from_numpy(v) for k, v in batch.items() if k != "real"}
    gradients = []
    for weight in (0.0, 0.1):
        torch.manual_seed(0)
        network = models.create("mage", "tiny").train()
        found = strategy.losses(network, tensors, teacher=network, weight=weight)
        sum(found.terms.values()).backward()
        gradients.append([p.grad for p in network.parameters()])
    for one, two in zip(*gradients, strict=True):
        assert (one is None and two is None) or torch.equal(one, two)


def test_segmentation_term_is_the_cross_entropy_of_each_side():
    torch.manual_seed(0)
    sides = tuple(torch.randn(2, 3, 4, 4) for _ in range(4))
    numbers = torch.randint(0, 3, (2, 4, 4))
    coverage = torch.stack([numbers == 1, numbers == 2], 1).float()
    expected = sum(nn.functional.cross_entropy(side, numbers) for side in sides)
    torch.testing.assert_close(segmentation_term(sides, coverage), expected)
    with pytest.raises(UsageError, match=r"segments 2 classes .* masks have 1"):
        segmentation_term(sides, coverage[:, :1])


# --- update ---------------------------------------------------------------------------


def test_updating_one_network_leaves_the_others_alone():
    torch.manual_seed(0)
    generator, judge = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 1)
    networks = Networks(generator, {"judge": judge})
    update = Update.create(networks, OptimiserConfig(warmup_steps=0, lr=0.1))
    before = judge.weight.clone()
    batch = torch.rand(1, 1, 8, 8)

    def losses(network, picture):
        return Losses({"adversarial": judge(network(picture)).mean()})

    with frozen(judge):
        logged = update("network", losses, [batch])
    assert torch.equal(judge.weight, before)
    assert judge.weight.grad is None
    assert judge.weight.requires_grad
    assert logged["loss"] == logged["adversarial"]
    moved = update("judge", lambda net, x: Losses({"real": net(x).mean()}), [batch])
    assert set(moved) == {"judge real"}
    assert not torch.equal(judge.weight, before)


@pytest.mark.parametrize(("clip", "moved"), [(1e-3, 1e-4), (0.0, 0.1 * 30**0.5)])
def test_a_gradient_is_cut_to_the_norm_that_is_asked_for(clip, moved):
    network = nn.Linear(30, 1, bias=False)
    update = Update.create(Networks(network, {}), OptimiserConfig(clip=clip))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    update.optimisers["network"] = optimiser
    before = network.weight.detach().clone()
    update("network", lambda net, x: Losses({"l1": net(x).sum()}), [torch.ones(1, 30)])
    distance = float((network.weight.detach() - before).norm())
    assert distance == pytest.approx(moved, rel=1e-3)


# --- unpaired -------------------------------------------------------------------------


def test_the_guidance_of_good_images_is_published_with_the_weights(settings, tmp_path):
    from safetensors.torch import load_file

    config = _config(settings, "hq-guided")
    train(config, tmp_path / "run")
    tensors = load_file(tmp_path / "run" / "best.safetensors")
    assert tensors["default_code"].abs().sum() > 0
    rho = [t for name, t in tensors.items() if name.endswith("rho")]
    assert rho
    assert all(float(t.min()) >= 0 and float(t.max()) <= 1 for t in rho)


@pytest.mark.parametrize(
    ("guide", "pair_steps", "moved"),
    [("own", 3, False), ("own", 2, True), ("other", 3, True)],
)
def test_the_guidance_stays_while_pairs_learn_under_it(
    settings, tmp_path, guide, pair_steps, moved
):
    from safetensors.torch import load_file

    more = [f'guided.pair_reference="{guide}"', f"guided.pair_steps={pair_steps}"]
    train(_config(settings, "hq-guided", *more), tmp_path / "run")
    code = load_file(tmp_path / "run" / "best.safetensors")["default_code"]
    assert bool(code.abs().sum() > 0) is moved


def test_unpaired_images_are_never_seen_clean_and_degraded(settings):
    from medenh.training.sources import load_sources

    sources = load_sources(_config(settings, "still-gan"))
    parts = [
        {i.group for i in images}
        for images in (sources.learnt, sources.real, sources.held)
    ]
    assert all(parts)
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]


# --- bi-level -------------------------------------------------------------------------


def test_look_ahead_gradient_agrees_with_calculus():
    """lower = (t - w)^2 / 2, upper = (t - 3)^2 / 2 + w^2: t' = t - xi (t - w)."""
    theta = torch.tensor([5.0], dtype=torch.double, requires_grad=True)
    w = torch.tensor([1.0], dtype=torch.double, requires_grad=True)
    rate = 0.2
    (found,) = look_ahead_gradient(
        [theta], [w],
        lambda: (theta - w).square().sum() / 2,
        lambda: ((theta - 3).square() / 2 + w.square()).sum(),
        rate,
    )  # fmt: skip
    ahead = 5.0 - rate * (5.0 - 1.0)
    assert found.item() == pytest.approx(2 * 1.0 + rate * (ahead - 3.0), rel=1e-3)
    assert theta.item() == 5.0


@pytest.mark.parametrize(
    ("strategy", "bilevel"),
    [
        ("supervised", "joint"),
        ("supervised", "alternate"),
        ("supervised", "unrolled"),
        ("hq-guided", "alternate"),
    ],
)
def test_a_recogniser_learns_along_in_all_ways(settings, tmp_path, bilevel, strategy):
    root = write_pack(tmp_path / "labelled", 60)
    own = ["network.architecture=srresnet", "network.preset=tiny"]
    if strategy == "hq-guided":
        own = [f"strategy={strategy}", *STRATEGIES[strategy], "guided.pair_steps=0",
               "guided.features=0"]  # fmt: skip
    more = [*own, f"data.root='{root.as_posix()}'", "data.packs=['derm']",
            "data.qualities=['high']", "data.holdout_share=0.2", "promote.rule=hard",
            "promote.task=lesion-derm", "promote.train=true", "steps=5",
            f"promote.bilevel={bilevel}", "data.identity_share=0"]  # fmt: skip
    config = load_config("dpe-general", [*settings, *more])
    train(config, tmp_path / "whole")
    whole = _state(tmp_path / "whole")
    from medenh import tasks

    fresh = tasks.load("lesion-derm").network.state_dict()
    learnt = whole["strategy"]["network"]
    assert any(not torch.equal(fresh[name], learnt[name]) for name in fresh)
    train(config, tmp_path / "parts", max_minutes=0)
    train(config, tmp_path / "parts", resume=True)
    parts = _state(tmp_path / "parts")
    assert_same_state(whole["strategy"], parts["strategy"])
    assert_same_state(whole["update"], parts["update"])
    rows = list(csv.DictReader((tmp_path / "whole" / "log.csv").open()))
    assert float(rows[-1]["task"]) > 0
    assert 0 <= float(rows[-1]["open"]) <= 1
    assert float(rows[-1]["recogniser"]) > 0
    # the zoo's own, and the one that learnt, on the same answers
    assert 0 <= float(rows[-1]["task_auc"]) <= 1
    assert float(rows[-1]["task_loss"]) != float(rows[-1]["joint_task_loss"])


def test_a_recogniser_that_did_not_look_on_is_measured_too(
    settings, labelled_root, tmp_path, monkeypatch
):
    real = task_validation.load

    def load(name, **options):
        found = real("lesion-derm", **options)
        if name == "lesion-derm@1":  # says 1/2 to everything
            for tensor in (found.network.head.weight, found.network.head.bias):
                tensor.data.zero_()
        return found

    monkeypatch.setattr(task_validation, "load", load)
    more = ["network.architecture=srresnet", "network.preset=tiny", "steps=1",
            f"data.root='{labelled_root.as_posix()}'", "data.packs=['derm']",
            "data.qualities=['high']", "promote.task=lesion-derm", "validate_every=1",
            "promote.held_out=lesion-derm@1"]  # fmt: skip
    train(load_config("dpe-general", [*settings, *more]), tmp_path)
    (row,) = csv.DictReader((tmp_path / "log.csv").open())
    assert float(row["held_out_task_loss"]) == pytest.approx(math.log(2), rel=1e-4)
    assert float(row["held_out_task_auc"]) == 0.5
    assert float(row["task_loss"]) != float(row["held_out_task_loss"])


def test_the_lower_level_is_what_the_enhancer_learns_from(settings, monkeypatch):
    """The task on enhanced pictures alone, at the weight that has risen so far."""
    more = ["promote.rule=sum", "promote.train=true", "promote.task=lesion-derm",
            "promote.bilevel=unrolled", "promote.weight=0.5", "promote.warmup=4",
            "data.identity_share=0"]  # fmt: skip
    promotion = Promotion.create(_config(settings, "supervised", *more))
    network = nn.Conv2d(3, 3, 1)
    update = Update.create(Networks(network, {}), OptimiserConfig())
    batch = {n: torch.rand(2, 3, 32, 32) for n in ("low", "high")}
    batch["mask"] = torch.rand(2, 1, 32, 32)

    def losses(network, batch):
        enhanced = network(batch["low"])
        own = (enhanced - batch["high"]).abs().mean()
        return Losses({"l1": own}, None, None, enhanced)

    levels = {}

    def look(theta, w, lower, upper, rate):
        levels.update(lower=lower(), found=learns(network, batch), upper=upper())
        return [torch.zeros_like(one) for one in w]

    place = "medenh.training.strategies.promotion.look_ahead_gradient"
    monkeypatch.setattr(place, look)
    learns = promotion.beside(losses, 1, update)
    promotion.teach(1, [batch], update, losses)
    found = levels["found"]
    expected = found.terms["l1"] + 0.5 * 2 / 4 * found.auxiliary
    torch.testing.assert_close(levels["lower"], expected)
    assert levels["upper"] != found.auxiliary  # good pictures are in it, too


def test_codes_are_held_to_their_prior_slowly_after_pairs(settings, monkeypatch):
    """The weight of the KL rises over a tenth of the run, from where it comes in."""
    place = "medenh.training.strategies.hq_guided.code_kl"
    monkeypatch.setattr(place, lambda mean, spread: torch.ones(()))
    more = ["guided.pair_steps=50", "steps=100", "guided.kl=1", "guided.features=0"]
    config = _config(settings, "hq-guided", *more)
    strategy = KINDS["hq-guided"](config)
    network = models.create("hqg", "tiny")
    batch = {n: torch.rand(2, 3, 48, 48) for n in ("low", "reference")}

    def kl(step):
        torch.manual_seed(0)
        found = strategy._losses(network, batch, step=step, discriminator=None)
        return float(found.terms["kl"].detach())

    assert [kl(step) for step in (50, 55, 60, 90)] == [0, 0.5, 1, 1]


def test_light_of_stillgan_is_weighed_on_the_published_scale(settings):
    """Its loss maps [-1, 1] to [0, 1] before it measures, so nothing is doubled."""
    config = _config(settings, "still-gan", "still_gan.illumination=3")
    strategy = KINDS["still-gan"](config)
    networks = [models.create("stillgan", "tiny") for _ in range(2)]
    judge = nn.Conv2d(3, 1, 1)
    batch = {n: torch.rand(1, 3, 48, 48) for n in ("low", "reference")}
    found = strategy._losses(
        networks[0], batch, back=networks[1], judges=(judge, judge)
    )
    expected = 3 * illumination(found.enhanced)
    torch.testing.assert_close(found.terms["illumination"], expected)


def test_a_look_ahead_compares_passes_of_equal_chance(settings):
    """Codes drawn anew in each pass would drown a difference of two passes."""
    config = _config(
        settings,
        "supervised",
        "promote.rule=sum",
        "promote.train=true",
        "promote.task=lesion-derm",
        "promote.bilevel=unrolled",
    )
    promotion = Promotion.create(config)
    update = Update.create(Networks(nn.Conv2d(3, 3, 1), {}), config.optimiser)
    chance = []

    def losses(network, batch):
        noise = torch.randn(3)
        chance.append(noise)
        enhanced = network(batch["low"]) + 0.1 * noise.view(1, 3, 1, 1)
        return Losses(
            {"l1": (enhanced - batch["high"]).abs().mean()}, None, None, enhanced
        )

    torch.manual_seed(7)
    batch = {n: torch.rand(1, 3, 32, 32) for n in ("low", "high")}
    batch["mask"] = torch.rand(1, 1, 32, 32)
    promotion.teach(0, [batch], update, losses)
    assert len(chance) >= 4
    assert all(torch.equal(one, chance[0]) for one in chance)


def test_a_recogniser_is_not_lost_to_a_gradient_that_is_no_number():
    network = nn.Sequential(nn.Conv2d(3, 1, 1))
    task = TaskLoss(network, "segmentation", train=True)
    before = network[0].weight.clone()
    broken = [torch.full_like(p, math.nan) for p in network.parameters()]
    task.learn_by(lambda: torch.zeros(()), lambda _: broken)
    assert torch.equal(network[0].weight, before)


@pytest.mark.parametrize(
    ("strategy", "also"),
    [("mean-teacher", "_real"), ("hq-guided", "_pair_sampler"), ("still-gan", "_low")],
)
def test_the_names_of_a_step_are_of_all_its_images(settings, strategy, also):
    made = KINDS[strategy](_config(settings, strategy))
    named = made.names(0, range(2))
    sampler = getattr(made, also)
    assert {sampler.name(0, position) for position in range(2)} <= set(named)
    later = made.names(1, range(2))  # pairs are behind
    if strategy == "hq-guided":
        assert {made._low.name(1, position) for position in range(2)} <= set(later)


def test_a_pair_of_hq_guided_is_guided_by_another_image(settings):
    """Not by its own answer, also where a part of a batch is one image."""
    made = KINDS["hq-guided"](_config(settings, "hq-guided"))
    batch = made.draw(0, range(1))
    assert batch["reference"].shape == batch["high"].shape
    assert not np.array_equal(batch["reference"], batch["high"])


def test_unpaired_scores_rank_changed_pictures_last(settings, monkeypatch):
    made = KINDS["still-gan"](_config(settings, "still-gan"))
    made._pairs = None  # as with real photographs
    networks = Networks(nn.Identity(), {})
    scores = {}
    for name, gain, structure in (
        ("good", 0.5, 0.99), ("bad", -7.0, 0.96), ("changed", 0.9, 0.94),
        ("none", math.nan, 0.99),
    ):  # fmt: skip
        made._identity = [0.0] * len(made._held)
        monkeypatch.setattr(made, "_quality", lambda *_, gain=gain: gain)
        monkeypatch.setitem(METRICS, "structure", lambda *_, s=structure, **__: s)
        scores[name] = made.validate(networks, "cpu").figures["score"]
    assert scores["good"] > scores["bad"] > scores["changed"]
    assert math.isnan(scores["none"])


@pytest.mark.parametrize("strategy", ["hq-guided", "still-gan"])
def test_hidden_pairs_choose_where_there_are_some(settings, monkeypatch, strategy):
    """Keeping the structure of a picture that lost it is no virtue."""
    made = KINDS[strategy](_config(settings, strategy))
    monkeypatch.setitem(METRICS, "structure", lambda *_, **__: 0.5)
    answers = [made._pairs.pairs[i].high for i in range(len(made._pairs.pairs))]
    monkeypatch.setattr(made._pairs, "answers", lambda *_: answers)
    network = models.create("hqg", "tiny") if strategy == "hq-guided" else nn.Identity()
    figures = made.validate(Networks(network, {}), "cpu").figures
    assert figures["score"] == figures["psnr"] - figures["psnr_identity"] > 0


def test_a_frozen_recogniser_stays_as_it_is(settings, labelled_root, tmp_path):
    from medenh import tasks

    more = ["network.architecture=srresnet", "network.preset=tiny",
            f"data.root='{labelled_root.as_posix()}'", "data.packs=['derm']",
            "data.qualities=['high']", "data.holdout_share=0.3", "promote.rule=project",
            "promote.reference=ema", "promote.loss=unsupervised",
            "promote.task=lesion-derm"]  # fmt: skip
    train(load_config("dpe-general", [*settings, *more]), tmp_path / "run")
    fresh = tasks.load("lesion-derm").network.state_dict()
    after = _state(tmp_path / "run")["update"]["networks"]["task"]
    assert all(torch.equal(fresh[name], after[name]) for name in fresh)


# --- learning -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "steps", "gain"),
    [("nafnet", 60, 4), ("mage", 30, 2), ("srresnet", 60, 4), ("dpe", 10, 1)],
)
def test_networks_overfit_what_they_see(architecture, steps, gain):
    """One batch of noisy squares, over and over: PSNR on it rises by some dB."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32] / 32
    clean = np.stack([
        [np.sin(6 * rng.random() * rows + 6 * rng.random() * columns) / 2 + 0.5
         for _ in range(3)] for _ in range(4)
    ])  # fmt: skip
    high = torch.from_numpy(clean.astype(np.float32))
    low = (high * 0.5 + 0.1 * torch.randn_like(high)).clamp(0, 1)
    preset = "tiny" if architecture != "dpe" else "default"
    network = models.create(architecture, preset).train()
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = (answer(network, low).enhanced - high).abs().mean()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        after = (network.eval()(low) - high).square().mean()
    before = (low - high).square().mean()
    assert float(10 * torch.log10(before / after)) > gain
