import math

import pytest
import torch
import torch.nn.functional as F

from medenh.losses.adversarial import (
    bce_discriminator,
    bce_generator,
    hinge_discriminator,
    hinge_generator,
    lsgan_discriminator,
    lsgan_generator,
    r1_penalty,
)


def test_hinge_saturates_beyond_the_margin():
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.25])
    assert hinge_discriminator(real, fake).item() == pytest.approx(0.25 + 0.625)
    assert hinge_generator(fake).item() == pytest.approx(1.375)


def test_lsgan():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    assert lsgan_discriminator(real, fake).item() == pytest.approx((2 + 2) / 2)
    assert lsgan_generator(fake).item() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "loss", [hinge_generator, lsgan_generator, bce_generator], ids=lambda f: f.__name__
)
def test_scales_count_alike_whatever_their_size(loss):
    small, large = torch.randn(2, 1, 3, 3), torch.randn(2, 1, 30, 30)
    both = (loss(small) + loss(large)) / 2
    assert loss([small, large]).item() == pytest.approx(both.item(), rel=1e-5)


def test_bce_generator_is_cross_entropy_with_ones():
    logits = torch.randn(4, 1)
    expected = F.binary_cross_entropy(torch.sigmoid(logits), torch.ones(4, 1))
    assert bce_generator(logits).item() == pytest.approx(expected.item(), rel=1e-5)


def test_bce_labels_are_soft_within_their_ranges_and_one_a_sample():
    """With t the label, the slope in a logit is sigmoid - t: labels can be read off."""
    real = torch.zeros(64, 1, 2, 2, requires_grad=True)
    fake = torch.zeros(64, 1, 2, 2, requires_grad=True)
    loss = bce_discriminator(real, fake, generator=torch.Generator().manual_seed(1))
    loss.backward()
    labels_real = 0.5 - real.grad * real.numel()
    labels_fake = 0.5 - fake.grad * fake.numel()
    assert 0.7 <= labels_real.min() < 0.75 < 0.95 < labels_real.max() <= 1.0 + 1e-6
    assert -1e-6 <= labels_fake.min() < 0.05 < 0.25 < labels_fake.max() <= 0.3 + 1e-6
    assert (labels_real.std((1, 2, 3)) < 1e-6).all()


def test_bce_depends_on_the_generator_alone():
    real, fake = torch.randn(5, 1), torch.randn(5, 1)

    def value(seed):
        generator = torch.Generator().manual_seed(seed)
        return bce_discriminator(real, fake, generator=generator).item()

    assert value(3) == value(3) != value(4)


def test_r1_of_a_quadratic_judge():
    """D(x) = sum x^2 / 2 has gradient x."""
    x = torch.randn(3, 3, 4, 4, requires_grad=True)
    logits = x.square().flatten(1).sum(1, keepdim=True) / 2
    expected = x.detach().square().sum().item() / 3 / 2
    penalty = r1_penalty(logits, x)
    assert penalty.item() == pytest.approx(expected, rel=1e-5)
    penalty.backward()
    torch.testing.assert_close(x.grad, x.detach() / 3)


def test_r1_does_not_grow_with_the_map():
    x = torch.randn(2, 1, 1, 1, requires_grad=True)
    one = r1_penalty(3 * x, x).item()
    many = r1_penalty([3 * x.expand(2, 1, 5, 5), 3 * x], x).item()
    assert one == pytest.approx(4.5)
    assert many == pytest.approx(one, rel=1e-6)
    assert math.isfinite(many)
