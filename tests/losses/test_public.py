"""`medenh.losses` as the place that loops of others import from."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
import torch

import medenh
from medenh import losses
from medenh.errors import UsageError
from medenh.training.objectives import _TERMS


def test_every_loss_is_there_and_nothing_else():
    for name in losses.__all__:
        assert callable(getattr(losses, name)), name
    assert set(losses.__all__) <= set(dir(medenh.losses))
    with pytest.raises(AttributeError):
        _ = losses.nothing


def test_a_loss_stays_a_loss_where_training_was_imported_before():
    code = (
        "import medenh.training.objectives, medenh.training.strategies.hq_guided;"
        "import medenh.training.strategies.still_gan, types;"
        "from medenh import losses;"
        "kinds = [type(getattr(losses, name)) for name in losses.__all__];"
        "assert types.ModuleType not in kinds"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_naming_the_losses_loads_no_torch():
    code = (
        "import sys, medenh.losses; dir(medenh.losses); medenh.losses.__all__;"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "name", ["charbonnier", "gradient_l1", "log_mse", "edge", "ssim_loss"]
)
def test_training_takes_the_public_ones_and_they_teach(name):
    loss = getattr(losses, name)
    assert loss in _TERMS.values()
    reference = torch.rand((2, 3, 24, 20), generator=torch.manual_seed(0))
    enhanced = (0.8 * reference).requires_grad_()
    value = loss(enhanced, reference)
    value.backward()
    assert value.shape == ()
    assert float(value) > float(loss(reference, reference))
    assert float(enhanced.grad.abs().sum()) > 0


_OF_PAIRS = {
    name: getattr(losses, name)
    for name in (
        "charbonnier",
        "gradient_l1",
        "log_mse",
        "edge",
        "ssim_loss",
        "structure",
        "wavelet",
        "gradient_difference",
    )
}
_OF_PAIRS["regularised_features"] = partial(
    losses.regularised_features, extractor=losses.AnalyticFeatures()
)


@pytest.mark.parametrize("name", _OF_PAIRS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:, :1], "shapes .*2, 3, 24, 20.* and .*2, 1, 24, 20"),
        (lambda x: x[:1], "have no loss"),
        (lambda x: (255 * x).to(torch.uint8), "floats, not torch.uint8"),
        (lambda x: x.numpy(), "floats, not numpy.ndarray"),
    ],
)
def test_two_pictures_that_are_no_pair_are_refused(name, change, words):
    """They were broadcast, and bytes wrapped round: numbers of nothing."""
    picture = torch.rand((2, 3, 24, 20), generator=torch.manual_seed(0))
    with pytest.raises(UsageError, match=words):
        _OF_PAIRS[name](picture, change(picture))


@pytest.mark.parametrize("name", _OF_PAIRS)
def test_one_picture_is_a_batch_of_one(name):
    picture = torch.rand((3, 24, 20), generator=torch.manual_seed(0))
    with pytest.raises(UsageError, match=r"tensor\[None\]"):
        _OF_PAIRS[name](picture, picture)
    assert _OF_PAIRS[name](picture[None], picture[None]).shape == ()
