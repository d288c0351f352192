"""What losses of two pictures take: broadcast or wrapped, they would be wrong."""

from __future__ import annotations

from torch import Tensor

from medenh.errors import UsageError
from medenh.paths import kind_of

__all__ = ["check_pair"]


def check_pair(enhanced: Tensor, reference: Tensor) -> None:
    """Check that a loss can compare two batches of pictures.

    Raises
    ------
    UsageError
        They are no float tensors of one shape (B, C, H, W).
    """
    for batch in (enhanced, reference):
        if not isinstance(batch, Tensor) or not batch.is_floating_point():
            given = batch.dtype if isinstance(batch, Tensor) else kind_of(batch)
            raise UsageError(
                f"losses take tensors of floats, not {given}",
                hint="of 8 bits tensor.float() / 255, of an array torch.from_numpy",
            )
    if enhanced.dim() != 4 or enhanced.shape != reference.shape:
        raise UsageError(
            f"pictures of shapes {tuple(enhanced.shape)} and "
            f"{tuple(reference.shape)} have no loss",
            hint="both are (B, C, H, W), of one shape: one picture is tensor[None]",
        )
