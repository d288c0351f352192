"""`auto` goes by looks where neither file nor user tells the modality."""

import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import nibabel as nib
import numpy as np
import pytest
import skimage

from medenh import formats
from medenh.formats.array import from_array
from medenh.pipeline.degrade import degrade_files
from medenh.pipeline.degrade_options import DegradeOptions
from medenh.pipeline.fidelity import check_input
from medenh.pipeline.files import (
    enhance_files,
    foresee,
    plan_files,
)
from medenh.pipeline.loading import ZooModels
from medenh.pipeline.looks import choose_model, looks_like_mask
from medenh.pipeline.options import EnhanceOptions
from medenh.types import Modality
from medenh.zoo.manifest import load_manifest

RETINA = Path(skimage.__file__).parent / "data" / "retina.jpg"


def choose(image, **options):
    found, modality = choose_model(image, ZooModels(EnhanceOptions(**options)))
    return found.card.id, modality, found.reason


@pytest.fixture
def eye(tmp_path):
    folder = tmp_path / "eyes"
    folder.mkdir()
    pixels = cv2.resize(cv2.imread(str(RETINA)), (256, 256), cv2.INTER_AREA)
    cv2.imwrite(str(folder / "eye.png"), pixels)
    return folder


def test_auto_takes_the_model_for_what_a_picture_looks_like():
    model, modality, reason = choose(formats.read(RETINA))
    assert (model, modality) == ("fast-fundus", Modality.FUNDUS)
    assert "looks like a fundus photograph" in reason
    assert "fast-fundus is the default for fundus" in reason


def test_grey_photographs_are_not_for_a_network_of_colours():
    """Red-free ones, say; as one channel and stored as colours."""
    green = np.ascontiguousarray(skimage.data.retina()[..., 1])
    for pixels in (green, np.repeat(green[..., None], 3, axis=2)):
        image = replace(from_array(pixels), modality=Modality.FUNDUS)
        model, modality, reason = choose(image)
        assert (model, modality) == ("fast-general", Modality.FUNDUS)
        assert "grey" in reason
        assert choose(image, model="classic")[0] == "flat-field-ref-color"
        cards = {card.id: card for card in load_manifest().current()}
        for name in ("fast-fundus", "hqg-fundus", "fast-general", "clahe-green"):
            refused, said = check_input(image, cards[name])
            assert not refused
            assert any("is grey" in one for one in said) == ("-fundus" in name)
    tinted = np.stack([green, green, green // 2], axis=2)
    image = replace(from_array(tinted), modality=Modality.FUNDUS)
    assert choose(image)[0] == "fast-fundus"
    assert check_input(image, cards["fast-fundus"]) == ([], [])


def test_what_looks_like_nothing_known_gets_the_general_model():
    noise = np.random.default_rng(0).integers(0, 256, (90, 80, 3), np.uint8)
    for image in (from_array(noise), from_array(noise[:20])):
        model, modality, reason = choose(image)
        assert (model, modality) == ("fast-general", Modality.UNKNOWN)
        assert "unknown" in reason


def test_values_of_an_unknown_volume_stay_comparable():
    noise = np.random.default_rng(0).integers(0, 4000, (90, 80), np.uint16)
    image = from_array(noise)
    model, _, reason = choose(replace(image, format="nifti"))
    assert model == "nlm"
    assert "keeps its values" in reason
    assert choose(replace(image, format="dicom"))[0] == "nlm"
    for name in ("png", "tiff", "npy"):  # as slices of CT and MRI are passed on
        assert choose(replace(image, format=name))[0] == "nlm"
    colours = from_array(np.repeat(noise[..., None], 3, axis=2))
    assert choose(replace(colours, format="dicom"))[0] == "nlm"
    assert choose(replace(colours, format="png"))[0] == "fast-general"
    shallow = from_array((noise >> 4).astype(np.uint8))
    for name in ("dicom", "png"):
        assert choose(replace(shallow, format=name))[0] == "fast-general"
    told = replace(image, format="nifti", modality=Modality.XRAY)
    assert choose(told)[0] == "fast-general"


@pytest.mark.parametrize(
    ("times", "least", "model"),
    [
        (4, 0, "denoise-mri"),
        (20, 0, "nlm-rician"),
        (20, -3, "nlm"),  # no magnitudes: what Rician noise adds is not in them
    ],
)
def test_volumes_far_darker_than_another_are_not_for_a_network(
    times, least, model, tmp_path
):
    volumes = np.random.default_rng(0).uniform(0, 400, (2, 3, 64, 64)).astype("f4")
    volumes[1] *= times
    volumes[0, 0, 0, 0] = least
    path = tmp_path / "both.nii"
    nib.Nifti1Image(volumes.T, np.eye(4)).to_filename(path)
    options = {"modality": Modality.MRI, "device": "cpu"}
    image = EnhanceOptions(**options).told(formats.read(path))
    chosen, shows, reason = choose(image, **options)
    assert (chosen, shows) == (model, Modality.MRI)  # as told
    assert choose(image, model="classic", **options)[0] == "nlm-rician"
    assert ("nearly black" in reason) == (times > 8)
    manifest = load_manifest()
    refused, said = check_input(image, manifest.get("denoise-mri"))
    assert not refused
    assert ["1 of its 2 volumes are 8 times" in word for word in said] == (
        [True] if times > 8 else []
    )
    assert check_input(image, manifest.get("nlm")) == ([], [])


def test_what_is_far_darker_in_a_cine_is_a_frame(tmp_path):
    frames = np.random.default_rng(0).uniform(0, 400, (3, 1, 64, 64)).astype("f4")
    frames[0] /= 20
    nib.Nifti1Image(frames.T, np.eye(4)).to_filename(tmp_path / "cine.nii")
    image = formats.read(tmp_path / "cine.nii")
    _, said = check_input(image, load_manifest().get("denoise-mri"))
    assert any("1 of its 3 frames are 8 times" in word for word in said)


def test_what_file_or_user_tells_is_not_doubted():
    told = replace(formats.read(RETINA), modality=Modality.XRAY)
    model, modality, reason = choose(told)
    assert modality is Modality.XRAY
    assert model != "fast-fundus"
    assert "looks" not in reason


def test_a_model_by_its_id_is_not_chosen_by_looks():
    model, modality, _ = choose(formats.read(RETINA), model="dpe-general")
    assert (model, modality) == ("dpe-general", Modality.UNKNOWN)


def test_a_dry_run_tells_what_the_run_will_take(eye, tmp_path):
    options = EnhanceOptions()
    models = ZooModels(options)
    plan = plan_files([eye], tmp_path / "out", options, models)
    _, [(model, reason)] = foresee(plan, models, options)
    assert model == "fast-fundus"
    summary = enhance_files([eye], tmp_path / "out", options)
    assert [(one.model, one.reason) for one in summary.written] == [(model, reason)]


def test_a_dry_run_warns_of_masks_as_the_run_does(tmp_path):
    mask = np.zeros((64, 64, 6), np.uint8)
    mask[16:48, 20:40] = 1
    path = tmp_path / "mask.nii.gz"
    nib.Nifti1Image(mask, np.eye(4)).to_filename(path)
    options = EnhanceOptions()
    models = ZooModels(options)
    plan = plan_files([path], tmp_path / "out", options, models)
    seen, _ = foresee(plan, models, options)
    (item,) = seen.work
    (done,) = enhance_files([path], tmp_path / "out", options).written
    assert "looks like a mask" in " ".join(item.remarks)
    assert item.remarks == done.warnings


def test_what_was_chosen_by_looks_is_not_done_again(eye, tmp_path):
    for written in (1, 0):
        summary = enhance_files([eye], tmp_path / "out", EnhanceOptions())
        assert len(summary.written) == written
        assert not summary.failed


def test_a_picture_of_another_kind_is_enhanced_and_told_so(eye, tmp_path):
    """The retina surely looks like fundus; the model is for X-rays."""
    options = EnhanceOptions(model="gradprom-denoise-xray")
    summary = enhance_files([eye], tmp_path / "out", options)
    assert not summary.failed
    told = " ".join(summary.written[0].warnings)
    assert "looks like a fundus photograph" in told
    assert "--modality fundus" in told


def discs(*labels, dtype=np.uint8):
    """Return discs beside one another, each of its label, on zeros."""
    mask = np.zeros((96, 96 * len(labels)), dtype)
    for index, label in enumerate(labels):
        cv2.circle(mask, (48 + 96 * index, 48), 30, label, -1)
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        discs(3),
        discs(255),
        discs(1),
        discs(1, 2, 3),
        discs(60, 160, 230),
        discs(1, 4, dtype=np.float32),
        np.repeat(discs(200)[..., None], 3, axis=2),
    ],
)
def test_masks_look_like_masks(mask):
    assert f"{len(np.unique(mask))} values" in looks_like_mask(from_array(mask))


@pytest.mark.parametrize("brightness", [1.0, 0.1, 0.03, 0.02, 0.0])
def test_pictures_and_dark_ones_do_not_look_like_masks(brightness):
    for name in ("retina", "camera", "moon", "cell"):
        picture = (getattr(skimage.data, name)() * brightness).astype(np.uint8)
        assert looks_like_mask(from_array(picture)) == ""
        for step in (16, 257):  # 12 bits as cameras write them, 8 bits made 16
            wide = picture.astype(np.uint16) * step
            assert looks_like_mask(from_array(wide)) == ""
    counts = np.random.default_rng(0).poisson(discs(1) * 1.2).astype(np.uint16)
    assert len(np.unique(counts)) <= 8
    assert looks_like_mask(from_array(counts)) == ""
    assert looks_like_mask(from_array(discs(1).astype(np.float32) * 0.5)) == ""
    empty = np.where(discs(1) > 0, np.nan, 1.0)
    assert looks_like_mask(from_array(empty)) == ""


def parcels(count, dtype=np.uint8, start=1):
    """Return a map of labels, one for each of many pieces, on zeros."""
    rng = np.random.default_rng(1)
    seeds = np.ones((160, 200), np.uint8)
    for row, column in rng.integers(0, (160, 200), (count, 2)):
        seeds[row, column] = 0
    _, of = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of[:, :40] = 1 - start
    return (of - 1 + start).astype(dtype)


@pytest.mark.parametrize("count", [12, 60, 180])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_maps_of_many_labels_look_like_them(count, dtype):
    start = 10 if dtype == np.uint8 else 1000
    for labels in (parcels(count, dtype), parcels(count, dtype, start)):
        volume = np.stack([labels] * 3)[..., None]
        for one in (from_array(labels), replace(from_array(labels), pixels=volume)):
            assert "map of labels" in looks_like_mask(one)


@pytest.mark.parametrize("quality", [10, 15, 20])
def test_blurred_jpegs_are_no_maps_of_labels(quality):
    """As of cataract: flat in pieces, with small steps between them."""
    eye = cv2.resize(skimage.data.retina(), (400, 400), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(eye, (0, 0), 12)
    _, coded = cv2.imencode(".jpg", blurred, [cv2.IMWRITE_JPEG_QUALITY, quality])
    picture = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert (picture[:, 1:] == picture[:, :-1]).mean() > 0.7
    assert looks_like_mask(from_array(picture)) == ""
    assert looks_like_mask(from_array(picture[..., 1])) == ""


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_pictures_enlarged_by_repetition_are_no_maps_of_labels(side):
    for name in ("retina", "camera", "moon", "cell"):
        picture = getattr(skimage.data, name)()
        larger = np.repeat(np.repeat(picture, side, axis=0), side, axis=1)
        assert looks_like_mask(from_array(larger)) == ""


def test_a_picture_of_equal_columns_is_no_map_of_labels():
    gradient = np.repeat(np.arange(200, dtype=np.uint8)[:, None], 64, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy had warned of an empty mean
        assert looks_like_mask(from_array(gradient)) == ""


def test_labels_that_lie_in_one_another_are_known_in_nifti_alone():
    nested = discs(1)
    cv2.circle(nested, (48, 48), 12, 2, -1)
    assert looks_like_mask(from_array(nested)) == ""  # so a dim picture looks too
    volume = replace(from_array(nested), format="nifti", header=None)
    assert "3 values" in looks_like_mask(volume)


def test_degrade_warns_of_a_mask_once(eye, tmp_path):
    cv2.imwrite(str(eye / "mask.png"), discs(255))
    options = DegradeOptions(recipes=("dpe",), copies=2, workers=1)
    summary = degrade_files([eye], tmp_path / "out", options)
    told = [
        one.input.name for one in summary.written for w in one.warnings if "mask" in w
    ]
    assert told == ["mask.png"]


def test_a_mask_in_a_folder_is_warned_about_once_and_refused_if_strict(eye, tmp_path):
    cv2.imwrite(str(eye / "mask.png"), discs(255))
    summary = enhance_files([eye], tmp_path / "out", EnhanceOptions(model="clahe"))
    told = {
        one.input.name: [w for w in one.warnings if "mask" in w]
        for one in summary.written
    }
    assert {name: len(found) for name, found in told.items()} == {
        "eye.png": 0,
        "mask.png": 1,
    }
    strict = EnhanceOptions(model="clahe", strict=True)
    summary = enhance_files([eye], tmp_path / "strict", strict)
    assert [one.path.name for one in summary.failed] == ["mask.png"]
    assert summary.exit_code() == 6
    kept = enhance_files([eye], tmp_path / "kept", EnhanceOptions(model="identity"))
    assert not any("mask" in w for one in kept.written for w in one.warnings)
