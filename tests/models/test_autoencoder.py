import pytest
import torch
from safetensors.torch import save_file

from medenh import models
from medenh.errors import UsageError
from medenh.losses import VGG19Features
from medenh.training.checkpoint import save_weights
from medenh.training.content import load_content


@pytest.mark.parametrize("size", [(32, 32), (33, 47)])
def test_shapes(size):
    network = models.create("autoencoder", "tiny").eval()
    image = torch.rand(1, 3, *size)
    assert network(image).shape == image.shape
    maps = network.features(image)
    assert [m.shape[1] for m in maps] == [4, 8, 8]


def test_nothing_passes_but_the_deepest_map():
    """Pictures with the same deepest map have the same answer."""
    torch.manual_seed(0)
    network = models.create("autoencoder", "tiny").eval()
    with torch.no_grad():
        network.encoder[-1].first.weight.zero_()
        network.down[-1].weight.zero_()
        one, two = (network(torch.rand(1, 3, 32, 32)) for _ in range(2))
    torch.testing.assert_close(one, two)


def test_a_trained_one_compares_content_and_is_frozen(tmp_path):
    network = models.create("autoencoder")
    path = tmp_path / "content.safetensors"
    save_weights(path, network)
    content = load_content(str(path))
    assert not any(p.requires_grad for p in content.parameters())
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    torch.stack([m.mean() for m in content(image)]).sum().backward()
    assert image.grad.abs().sum() > 0
    save_weights(path, models.create("nafnet", "tiny"))
    with pytest.raises(UsageError, match="not an autoencoder"):
        load_content(str(path))
    with pytest.raises(UsageError, match="no features"):
        load_content("vessels-fundus")


def test_vgg_is_taken_from_a_file_in_torchvisions_names(tmp_path):
    torch.manual_seed(0)
    network, path = VGG19Features(), tmp_path / "vgg19.safetensors"
    state = network.half().state_dict()
    save_file({**state, "classifier.0.bias": torch.ones(3)}, path)
    image = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(
            load_content(str(path), vgg=True)(image), network.float()(image)
        )
    with pytest.raises(UsageError, match="not an autoencoder"):
        load_content(str(path))  # a term that wants maps of several levels
    del state["features.2.bias"]
    save_file(state, path)
    with pytest.raises(UsageError, match="is not VGG-19"):
        load_content(str(path), vgg=True)
