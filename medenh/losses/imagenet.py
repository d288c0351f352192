"""VGG-19 up to its last convolution, for weights that a user has."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["VGG19Features"]

# widths of the blocks and how many convolutions each has; halved between them
_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))


class VGG19Features(nn.Module):
    """What DPE's feature loss sees: VGG-19's conv5_4, before its ReLU.

    Simonyan and Zisserman, ICLR 2015, configuration E without its classifier:
    20,024,384 parameters. Tensors have torchvision's names, `features.0.weight` to
    `features.34.bias`; nothing is downloaded, and without weights it is random.

    Notes
    -----
    It is given [-1, 1], not standardised by ImageNet's mean and deviation, as DPE's
    code does [code]. Pictures of 16 pixels or more a side.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for width, count in _BLOCKS:
            for _ in range(count):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers[:-2])  # ends in a convolution
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) in [0, 1] to one map, (B, 512, H / 16, W / 16)."""
        return [self.features(image * 2 - 1)]
