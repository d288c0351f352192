import numpy as np
import pytest

from medenh import tasks
from medenh.errors import OutputError
from medenh.training import pseudo_masks
from medenh.training.config_file import load_config
from medenh.training.data import CleanImage
from medenh.training.loop import train


class Reached(Exception):
    pass


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [
        CleanImage(f"a/{i}", "dermoscopy", "train", f"g{i}",
                   rng.integers(0, 256, (20, 24, 3), np.uint8))
        for i in range(2)
    ]  # fmt: skip


def test_masks_are_the_recognisers_answer_and_are_kept(
    images, tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO", "medenh.training")
    monkeypatch.setenv("MEDENH_CACHE", str(tmp_path))
    marked = pseudo_masks.with_pseudo_masks(images, "lesion-derm", "cpu")
    answer = tasks.load("lesion-derm").predict(images[1].pixels / 255.0)
    np.testing.assert_array_equal(marked[1].mask, np.rint(answer * 255))
    files = sorted((tmp_path / "masks").rglob("*.npy"))
    assert len(files) == 2

    assert caplog.messages == ["drawing masks of lesion-derm, 1 of 2"]
    caplog.clear()

    files[0].write_bytes(files[0].read_bytes()[:50])  # a damaged one is made anew
    asked = []
    real = tasks.Recogniser.predict

    def counted(self, unit, **kwargs):
        asked.append(1)
        return real(self, unit, **kwargs)

    monkeypatch.setattr(tasks.Recogniser, "predict", counted)
    again = pseudo_masks.with_pseudo_masks(images, "lesion-derm", "cpu")
    assert len(asked) == 1
    for one, two in zip(marked, again, strict=True):
        np.testing.assert_array_equal(one.mask, two.mask)


def test_a_cache_that_cannot_be_written_is_told(images, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDENH_CACHE", str(tmp_path))
    (tmp_path / "masks").write_text("in the way")
    with pytest.raises(OutputError, match="part of the path is a file"):
        pseudo_masks.with_pseudo_masks(images, "lesion-derm", "cpu")


@pytest.mark.parametrize("strategy", ["supervised", "mean-teacher"])
def test_they_are_drawn_on_the_device_of_the_run(
    strategy, tiny_settings, tmp_path, monkeypatch
):
    """Device "meta" stands for one that no machine would pick by itself."""
    asked = []

    def noted(task, device):
        asked.append((task, device))
        raise Reached

    monkeypatch.setattr(pseudo_masks, "load", noted)
    more = ["network.architecture=mage", "condition_batch=0", "teacher_share=0",
            "data.pseudo_masks=vessels-fundus", f"strategy={strategy}"]  # fmt: skip
    if strategy == "mean-teacher":
        more += ["data.real_recipes={dpe=1.0}"]
    config = load_config("dpe-general", [*tiny_settings, *more])
    for device in ("cpu", "meta"):
        with pytest.raises(Reached):
            train(config, tmp_path / "run", device=device)
    assert asked == [("vessels-fundus", "cpu"), ("vessels-fundus", "meta")]
