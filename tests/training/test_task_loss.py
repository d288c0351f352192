import hashlib
from copy import deepcopy

import numpy as np
import pytest
import torch

from medenh import models, tasks
from medenh.errors import UsageError
from medenh.training.gradients import Promoter
from medenh.training.task_loss import TaskLoss

_MODES = ["supervised", "unsupervised"]
_KINDS = {"classification": "classifier", "segmentation": "unet"}


def _recogniser(kind, architecture=None):
    """A recogniser whose running statistics are those of some pictures."""
    torch.manual_seed(0)
    network = models.create(architecture or _KINDS[kind], "tiny", classes=2).train()
    with torch.no_grad():
        network(torch.rand(8, 3, 16, 16))
    return network  # in training mode: the loss has to freeze it


def _batch(channels=3):
    generator = torch.Generator().manual_seed(1)
    clean = torch.rand(4, channels, 16, 16, generator=generator)
    noise = torch.randn(clean.shape, generator=generator)
    mask = (torch.rand(4, 2, 16, 16, generator=generator) > 0.5).float()
    return (clean + 0.2 * noise).clamp(0, 1), clean, torch.tensor([0, 1, 1, 0]), mask


def _twice(noisy, clean, label=None, mask=None):
    """Enhanced and clean pictures in one batch, with their answers."""
    label = None if label is None else label.repeat(2)
    mask = None if mask is None else mask.repeat(2, 1, 1, 1)
    return torch.cat([noisy, clean]), label, mask


def _digest(network):
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("mode", _MODES)
def test_the_recogniser_is_untouched_and_the_picture_is_reached(kind, mode):
    recogniser = _recogniser(kind)
    before = _digest(recogniser)
    loss_of = TaskLoss(recogniser, kind, mode)
    enhancer = models.create("srresnet", "tiny")
    optimiser = torch.optim.SGD(enhancer.parameters(), 0.1)
    noisy, clean, label, mask = _batch()
    recogniser.train()  # as a loop might, for all networks of a run
    for _ in range(2):
        enhanced = enhancer(noisy)
        enhanced.retain_grad()
        loss = loss_of(enhanced, clean=clean, label=label, mask=mask)
        assert loss.shape == ()
        assert loss.dtype == torch.float32
        assert loss > 0
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        assert torch.isfinite(enhanced.grad).all()
        assert (enhanced.grad.flatten(1).abs().sum(1) > 0).all()
    assert enhancer.tail.weight.abs().sum() > 0
    assert _digest(recogniser) == before
    assert all(p.grad is None for p in recogniser.parameters())


def test_supervised_losses_agree_with_their_definitions():
    noisy, _, label, mask = _batch()
    recogniser = _recogniser("classification")
    loss = TaskLoss(recogniser, "classification")(noisy, label=label)
    with torch.no_grad():
        logits = recogniser.eval()(noisy).double()
    share = torch.softmax(logits, 1)[range(4), label]
    assert loss.item() == pytest.approx(float(-share.log().mean()), rel=1e-5)
    recogniser = _recogniser("segmentation")
    loss = TaskLoss(recogniser, "segmentation")(noisy, mask=mask)
    with torch.no_grad():
        guess = torch.sigmoid(recogniser.eval()(noisy).double())
    bce = -(mask * guess.log() + (1 - mask) * (1 - guess).log()).mean()
    overlap = 2 * (guess * mask).sum((0, 2, 3)) + 1
    total = (guess**2).sum((0, 2, 3)) + (mask**2).sum((0, 2, 3)) + 1
    expected = float(bce + (1 - overlap / total).mean())
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_unsupervised_loss_is_the_distance_of_the_answers():
    noisy, clean, _, _ = _batch()
    for kind, squash in (
        ("classification", lambda z: torch.softmax(z, 1)),
        ("segmentation", torch.sigmoid),
    ):
        recogniser = _recogniser(kind)
        loss = TaskLoss(recogniser, kind, "unsupervised")(noisy, clean=clean)
        with torch.no_grad():
            answers = [squash(recogniser.eval()(x)) for x in (noisy, clean)]
        expected = np.mean((answers[0] - answers[1]).numpy() ** 2)
        assert loss.item() == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("architecture", ["classifier", "resnet"])
def test_a_perfect_enhancement_costs_nothing(architecture):
    recogniser = _recogniser("classification", architecture)
    _, clean, _, _ = _batch()
    loss_of = TaskLoss(recogniser, "classification", "unsupervised")
    loss = loss_of(clean.clone(), clean=clean)
    assert loss.item() == pytest.approx(0, abs=1e-10)


def test_clean_pictures_are_targets_without_a_gradient():
    noisy, clean, _, _ = _batch()
    clean.requires_grad_()
    noisy.requires_grad_()
    loss = TaskLoss(_recogniser("segmentation"), "segmentation", "unsupervised")
    loss(noisy, clean=clean).backward()
    assert clean.grad is None
    assert noisy.grad.abs().sum() > 0


def test_grey_pictures_and_short_types():
    noisy, _, label, _ = _batch(channels=1)
    recogniser = _recogniser("classification")
    whole = TaskLoss(recogniser, "classification")
    grey = whole(noisy, label=label)
    assert torch.equal(grey, whole(noisy.repeat(1, 3, 1, 1), label=label))
    short = TaskLoss(recogniser, "classification", precision="bf16")
    assert short(noisy, label=label).dtype == torch.float32
    assert short(noisy, label=label).item() == pytest.approx(grey.item(), rel=0.05)


def test_it_works_under_a_promoter():
    noisy, clean, label, _ = _batch()
    enhancer = models.create("srresnet", "tiny")
    loss_of = TaskLoss(_recogniser("classification"), "classification")
    out = enhancer(noisy)
    primary = (out - clean).square().mean()
    auxiliary = loss_of(out, label=label)
    params = list(enhancer.parameters())
    promoter = Promoter("soft", 1e-3)
    promoter.accumulate(primary, auxiliary, params, output=out)
    stats = promoter.finish(params)
    assert -1 <= stats.cosine <= 1
    assert stats.ratio > 0
    assert enhancer.tail.weight.grad.abs().sum() > 0


# --- a recogniser that learns --------------------------------------------------------


@pytest.mark.parametrize("kind", _KINDS)
def test_a_recogniser_learns_only_when_asked(kind):
    recogniser = _recogniser(kind)
    before = _digest(recogniser)
    loss_of = TaskLoss(recogniser, kind, train=True, lr=0.01)
    noisy, clean, label, mask = _batch()
    noisy.requires_grad_()
    loss_of(noisy, label=label, mask=mask).backward()
    assert _digest(recogniser) == before
    noisy.grad = None
    losses = [loss_of.learn(*_twice(noisy, clean, label, mask)) for _ in range(25)]
    assert losses[-1] < 0.9 * losses[0]
    assert _digest(recogniser) != before
    assert noisy.grad is None
    assert not recogniser.training
    assert all(p.grad is None and not p.requires_grad for p in recogniser.parameters())


def test_a_recogniser_learns_from_both_kinds_of_pictures():
    """Its loss falls on the clean ones and on the enhanced ones."""
    recogniser = _recogniser("classification")
    loss_of = TaskLoss(recogniser, "classification", train=True, lr=0.01)
    noisy, clean, label, _ = _batch()
    enhanced = 1 - noisy

    def both():
        return [loss_of(x, label=label).item() for x in (enhanced, clean)]

    before = both()
    for _ in range(40):
        loss_of.learn(*_twice(enhanced, clean, label))
    assert all(a < b for a, b in zip(both(), before, strict=True))


def test_a_resumed_recogniser_takes_the_same_step():
    noisy, clean, _, mask = _batch()
    one = TaskLoss(_recogniser("segmentation"), "segmentation", train=True)
    one.learn(*_twice(noisy, clean, mask=mask))
    two = TaskLoss(_recogniser("segmentation"), "segmentation", train=True)
    two.load_state_dict(deepcopy(one.state_dict()))
    for loss_of in (one, two):
        loss_of.learn(*_twice(noisy, clean, mask=mask))
    assert _digest(one.network) == _digest(two.network)
    frozen = TaskLoss(_recogniser("segmentation"), "segmentation")
    assert frozen.state_dict() == {}


# --- where it comes from, and what it refuses ----------------------------------------


def test_a_task_of_the_zoo():
    loss_of = TaskLoss.from_zoo("lesion-derm", "unsupervised")
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = tasks.load("lesion-derm").network
    with torch.no_grad():
        answers = [torch.sigmoid(network(x)) for x in (picture, 0.5 * picture)]
    found = loss_of(0.5 * picture, clean=picture)
    expected = (answers[0] - answers[1]).square().mean()
    assert found.item() == pytest.approx(float(expected), rel=1e-4)


def test_a_classifier_sees_pictures_at_its_own_size():
    """A batch of another size gets the answer that `medenh.tasks` gives."""
    loss_of = TaskLoss.from_zoo("class-derm")
    recogniser = tasks.load("class-derm")
    picture = torch.rand(1, 3, 70, 90, generator=torch.Generator().manual_seed(0))
    answer = recogniser.predict(picture[0].permute(1, 2, 0).numpy()).ravel()
    assert recogniser.task.side > 90
    found = loss_of(picture, label=torch.tensor([1]))
    assert found.item() == pytest.approx(-np.log(answer[1]), rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("detection",), {}, "no kind"),
        (("segmentation", "magic"), {}, "no task loss"),
        (("segmentation", "unsupervised"), {"train": True}, "cannot learn"),
    ],
)
def test_impossible_settings_are_usage_errors(arguments, options, message):
    with pytest.raises(UsageError, match=message):
        TaskLoss(_recogniser("segmentation"), *arguments, **options)


def test_a_batch_without_what_the_loss_wants():
    noisy, clean, label, _ = _batch()
    segmentation = TaskLoss(_recogniser("segmentation"), "segmentation")
    with pytest.raises(UsageError, match="wants 'mask'"):
        segmentation(noisy, label=label)
    with pytest.raises(UsageError, match="frozen"):
        segmentation.learn(noisy)
    classification = TaskLoss(_recogniser("classification"), "classification")
    with pytest.raises(UsageError, match="wants 'label'"):
        classification(noisy, clean=clean)
    unsupervised = TaskLoss(_recogniser("segmentation"), "segmentation", "unsupervised")
    with pytest.raises(UsageError, match="wants 'clean'"):
        unsupervised(noisy)
