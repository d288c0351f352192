"""Comparing checkpoints."""

import torch


def assert_same_state(one, two):
    """Every tensor and number of two nested states is equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two)
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            assert_same_state(one[key], two[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(two)
        for mine, theirs in zip(one, two, strict=True):
            assert_same_state(mine, theirs)
    else:
        assert one == two
