"""The spread of a model's answers over turns, mirrorings and shifts, and its files."""

from __future__ import annotations

import gzip
import json

import cv2
import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
import torch
from fakes_pipeline import FakeModels, FakeRunner, box, make_card, make_image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

import medenh
from medenh import models
from medenh.device import Device
from medenh.errors import OutputError, UsageError
from medenh.formats.array import from_array
from medenh.pipeline import enhancer as enhancer_module
from medenh.pipeline.engine import Engine
from medenh.pipeline.enhancer import Contract, FrameEnhancer
from medenh.pipeline.naming import map_paths
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.plan import make_plan
from medenh.pipeline.runners import TorchRunner
from medenh.pipeline.uncertainty import Ensemble, moves_for


def network():
    """A network that halves its input: no turn, mirroring or shift leaves it equal."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.ReflectionPad2d(1),
        torch.nn.Conv2d(3, 4, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(4, 12, 1),
        torch.nn.PixelShuffle(2),
    )


class Halving(torch.nn.Module):
    """`network` at any size: padded at the bottom and right, cut again, added."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        down, right = x.shape[2] % 2, x.shape[3] % 2
        padded = torch.nn.functional.pad(x, (0, right, 0, down), mode="replicate")
        change = self.inner(padded)[:, :, : x.shape[2], : x.shape[3]]
        return x + 0.2 * torch.tanh(change)


def spread_of(image, runner, contract=None, **options):
    enhancer = FrameEnhancer(runner, contract or Contract(), **options)
    ensemble = Ensemble(enhancer, image)
    for task in enhancer.tasks(image, np.empty_like(image.pixels)):
        kept = ensemble.kept(task)
        enhancer.enhance([kept])
        ensemble.measure(kept)
    return ensemble.spread


def plain_loop(x, model):
    """Return the standard deviation over the moves, as a first script would."""
    answers = []
    square = x.shape[2] == x.shape[3]
    for turned in (False, True) if square else (False,):
        for axes in ((), (2,), (3,), (2, 3)):
            held = torch.flip(x.transpose(2, 3) if turned else x, axes)
            back = torch.flip(model(held).clamp(0, 1), axes)
            answers.append(back.transpose(2, 3) if turned else back)
    for down, right in ((3, 5), (8, 8)):
        held = torch.nn.functional.pad(x, (right, 0, down, 0), mode="reflect")
        answers.append(model(held).clamp(0, 1)[:, :, down:, right:])
    found = torch.stack(answers)
    return found.var(0, unbiased=False).mean(1).sqrt().numpy(), len(answers)


@pytest.mark.parametrize("shape", [(40, 40), (37, 52), (41, 41)])
def test_the_map_is_that_of_a_plain_loop(shape):
    pixels = np.random.default_rng(0).random((1, *shape, 3)).astype(np.float32)
    model = Halving().eval()
    found = spread_of(make_image(pixels), TorchRunner(model, Device("cpu")))
    with torch.no_grad():
        x = torch.from_numpy(np.moveaxis(pixels, -1, 1).copy())
        wanted, count = plain_loop(x, model)
    assert count == len(moves_for(*shape)) == (10 if shape[0] == shape[1] else 6)
    assert wanted.max() > 0.01
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(("shape", "passes"), [((40, 40), 10), ((37, 52), 6)])
def test_progress_is_that_of_all_passes(shape, passes):
    pixels = np.random.default_rng(0).random((1, *shape, 3)).astype(np.float32)
    enhancer = FrameEnhancer(FakeRunner(lambda x: x), Contract())
    image = make_image(pixels)
    ensemble = Ensemble(enhancer, image)
    (task,) = enhancer.tasks(image, np.empty_like(pixels))
    task, told = ensemble.kept(task), []
    enhancer.enhance([task], on_progress=ensemble.of_passes(told.append))
    ensemble.measure(task, on_progress=told.append)
    np.testing.assert_allclose(told, np.arange(1, passes + 1) / passes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_method_of_single_pixels_has_no_spread_at_all(dtype):
    rng = np.random.default_rng(0)
    top = 1.0 if dtype is np.float32 else np.iinfo(dtype).max
    image = make_image((rng.random((2, 33, 20, 3)) * top).astype(dtype))
    runner = FakeRunner(lambda x: np.sqrt(x))
    assert not spread_of(image, runner).any()


def test_strength_scales_the_spread():
    image = make_image(np.random.default_rng(0).random((1, 30, 30, 3), np.float32))
    runner = TorchRunner(Halving().eval(), Device("cpu"))
    whole = spread_of(image, runner)
    np.testing.assert_allclose(
        spread_of(image, runner, strength=0.5), whole / 2, atol=1e-6
    )
    assert not spread_of(image, runner, strength=0.0).any()


def test_frozen_pixels_have_no_spread():
    pixels = np.random.default_rng(0).random((1, 30, 30, 3)).astype(np.float32)
    pixels[0, 4, 7] = np.nan
    image = from_array(pixels)
    found = spread_of(image, TorchRunner(Halving().eval(), Device("cpu")))
    assert found[0, 4, 7] == 0 < found[0, 5, 7]


def test_tiles_give_the_map_of_the_whole(monkeypatch):
    monkeypatch.setattr(enhancer_module, "AUTO_CORE", 32)
    monkeypatch.setattr(enhancer_module, "WHOLE_BELOW", 32 * 32)
    image = make_image(np.random.default_rng(0).random((1, 90, 70, 1), np.float32))
    local = Contract(halo=8, multiple_of=4)
    # of a box filter the whole picture's edges are mirrored, as the shifts' are
    runner = FakeRunner(lambda x: np.clip(box(x) + 0.1 * _slope(x), 0, 1))
    whole = spread_of(image, runner, local, tile="off")
    calls = runner.calls
    np.testing.assert_allclose(spread_of(image, runner, local), whole, atol=1e-6)
    assert runner.calls > 4 * calls
    assert whole.max() > 0.001


def _slope(x):
    """Return the step to the next column: mirroring turns its sign."""
    return np.diff(x, axis=3, append=x[:, :, :, -1:])


def test_volumes_have_a_map_of_each_frame():
    pixels = np.random.default_rng(0).random((3, 24, 20, 1)).astype(np.float32)
    runner = FakeRunner(_half_slope)
    found = spread_of(make_image(pixels), runner)
    for index in range(3):
        alone = spread_of(make_image(pixels[index : index + 1]), runner)
        np.testing.assert_array_equal(found[index], alone[0])


def _half_slope(x):
    return np.clip(0.5 * x + 0.5 * np.abs(_slope(x)), 0, 1).astype(np.float32)


def test_openvino_gives_the_map_of_torch():
    pytest.importorskip("openvino")
    from medenh.pipeline.openvino_cache import load_parts
    from medenh.pipeline.openvino_runner import OpenVinoRunner

    torch.manual_seed(1)
    made = models.create("dpe-plus", preset="tiny").eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    parts = load_parts(None, "dpe-plus", lambda: made, multiple_of=16)
    contract = Contract(channels=3, multiple_of=16, min_size=32)
    pixels = np.random.default_rng(0).random((2, 50, 64, 3), np.float32)
    plain = spread_of(make_image(pixels), TorchRunner(made, Device("cpu")), contract)
    found, again = (
        spread_of(
            make_image(pixels), OpenVinoRunner(parts, "fp32", multiple_of=16), contract
        )
        for _ in range(2)
    )
    assert plain.max() > 0.001
    np.testing.assert_allclose(found, plain, atol=1e-5)
    np.testing.assert_array_equal(found, again)


# -- files


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (40, 50), np.uint8)
    colour = rng.integers(0, 65535, (30, 30, 3), np.uint16)
    cv2.imwrite(str(root / "a.png"), grey)
    cv2.imwrite(str(root / "a.jpg"), grey)
    cv2.imwrite(str(root / "c.png"), colour)
    tifffile.imwrite(root / "t.tif", colour, photometric="rgb")
    np.save(root / "n.npy", grey.astype(np.float32))
    volume = nibabel.Nifti1Image(
        rng.integers(0, 900, (20, 24, 5), np.int16), np.diag([2, 2, 5, 1])
    )
    nibabel.save(volume, root / "v.nii.gz")
    return root


NAMES = {
    "a.png": "a.uncertainty.png",
    "a.jpg": "a.jpg.uncertainty.png",
    "c.png": "c.uncertainty.png",
    "t.tif": "t.uncertainty.tif",
    "n.npy": "n.uncertainty.npy",
    "v.nii.gz": "v.uncertainty.nii.gz",
}


def run(inputs, out, function=_half_slope, **options):
    asked = EnhanceOptions(**({"uncertainty": True} | options))
    models = FakeModels(FakeRunner(function), make_card(receptive_field=None))
    plan = make_plan(inputs, out, asked, models=models)
    return Engine(asked, models).run(plan)


def test_each_output_has_its_map_and_is_as_without(folder, tmp_path):
    summary = run([folder], tmp_path / "out")
    run([folder], tmp_path / "plain", uncertainty=False)
    assert not summary.failed
    told = {r.input.name: r.uncertainty.name for r in summary.written}
    assert told == NAMES
    for name, map_name in NAMES.items():
        out = tmp_path / "out" / name
        assert out.read_bytes() == (tmp_path / "plain" / name).read_bytes()
        image = medenh.read(folder / name)
        made = medenh.read(tmp_path / "out" / map_name)
        wanted = spread_of(image, FakeRunner(_half_slope))
        found = made.pixels[..., 0].astype(np.float64)
        if map_name.endswith(".png"):
            assert made.pixels.dtype == np.uint16
            found = found / 131070
        else:
            assert made.pixels.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=4e-6)
        figures = next(r for r in summary.written if r.input.name == name).fidelity
        assert figures["uncertainty_mean"] == pytest.approx(wanted.mean(), abs=1e-3)
        low, high = figures["uncertainty_mean"], figures["uncertainty_p95"]
        assert 0 < low < high < wanted.max() + 1e-6
    plain = {p.name for p in (tmp_path / "plain").iterdir()}
    assert plain == {*NAMES, ".medenh-journal.jsonl"}


def test_a_nifti_map_lies_where_its_picture_lies(folder, tmp_path):
    run([folder / "v.nii.gz"], tmp_path / "v.nii.gz")
    source = nibabel.load(folder / "v.nii.gz")
    made = nibabel.load(tmp_path / "v.uncertainty.nii.gz")
    assert made.shape == source.shape
    assert made.get_data_dtype() == np.float32
    np.testing.assert_array_equal(made.affine, source.affine)


def save_ct(path, index, *, pixels, turned=0.0, without=()):
    """Save a slice of a volume that is turned about the patient's long axis."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    made.SOPInstanceUID = f"1.2.3.4.{index + 1}"
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    made.PatientName, made.Modality, made.InstanceNumber = "Rumpel^S", "CT", index + 1
    cos, sin = np.cos(turned), np.sin(turned)
    made.ImageOrientationPatient = [round(v, 9) for v in (cos, sin, 0, -sin, cos, 0)]
    made.ImagePositionPatient = [-40.0, 25.5, 100.0 - 2.5 * index]
    made.PixelSpacing = [0.7, 0.4]
    made.RescaleSlope, made.RescaleIntercept = 1, -1024
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelRepresentation = 0
    made.PixelData = pixels.astype("<u2").tobytes()
    for keyword in without:
        delattr(made, keyword)
    made.save_as(path, enforce_file_format=True)


@pytest.fixture
def series(tmp_path):
    """Four oblique slices, the first file the highest in the patient."""
    root = tmp_path / "ct"
    root.mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        pixels = rng.integers(0, 4000, (20, 30))
        save_ct(root / f"{index}.dcm", index, pixels=pixels, turned=0.3)
    return root


def test_a_dicom_series_has_one_map_where_its_volume_lies(series, tmp_path):
    out = tmp_path / "out"
    summary = run([series], out)
    run([series], tmp_path / "plain", uncertainty=False)
    (map_path,) = {result.uncertainty for result in summary.written}
    assert map_path.name == "3.dcm.uncertainty.nii.gz"  # the lowest slice
    names = [f"{index}.dcm" for index in range(4)]
    assert sorted(p.name for p in out.iterdir() if p.name[0] != ".") == sorted(
        [*names, map_path.name]
    )
    made = nibabel.load(map_path)
    assert made.get_data_dtype() == np.float32
    assert int(made.header["qform_code"]) == int(made.header["sform_code"]) == 1
    assert made.header.get_xyzt_units()[0] == "mm"
    assert b"Rumpel" not in gzip.decompress(map_path.read_bytes())
    values = np.asarray(made.dataobj)
    to_voxels = np.linalg.inv(made.affine)
    for name in names:
        assert (out / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
        wanted = spread_of(medenh.read(series / name), FakeRunner(_half_slope))[0]
        for row, column in ((0, 0), (19, 0), (0, 29), (7, 11)):
            voxel = to_voxels @ _place(pydicom.dcmread(series / name), row, column)
            np.testing.assert_allclose(voxel, voxel.round(), atol=1e-3)
            found = values[tuple(voxel[:3].round().astype(int))]
            assert found == pytest.approx(wanted[row, column], abs=1e-6)
        assert wanted.max() > 0.01


def _place(source, row, column):
    """Return where a pixel lies, by PS3.3 C.7.6.2.1.1, in NIfTI's right and front."""
    across, down = np.array(source.ImageOrientationPatient, float).reshape(2, 3)
    place = np.array(source.ImagePositionPatient, float)
    place += column * source.PixelSpacing[1] * across
    place += row * source.PixelSpacing[0] * down
    return [-place[0], -place[1], place[2], 1]


def test_a_picture_without_a_place_has_a_map_without_one(tmp_path):
    source = tmp_path / "photo.dcm"
    pixels = np.random.default_rng(0).integers(0, 4000, (20, 30))
    nowhere = ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing")
    save_ct(source, 0, pixels=pixels, without=nowhere)
    summary = run([source], tmp_path / "out" / "photo.dcm")
    (result,) = summary.written
    assert result.uncertainty == tmp_path / "out" / "photo.dcm.uncertainty.nii.gz"
    made = nibabel.load(result.uncertainty)
    assert int(made.header["qform_code"]) == int(made.header["sform_code"]) == 0
    wanted = spread_of(medenh.read(source), FakeRunner(_half_slope))[0]
    np.testing.assert_allclose(made.get_fdata()[:, :, 0].T, wanted, atol=1e-6)


def test_a_run_again_finds_maps_done_and_makes_missing_ones(folder, tmp_path):
    out = tmp_path / "out"
    run([folder], out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    again = run([folder], out)
    assert (len(again.skipped), len(again.written)) == (6, 0)
    (out / "c.uncertainty.png").unlink()
    mended = run([folder], out, on_exists="overwrite")
    assert [r.input.name for r in mended.written] == ["c.png"]
    assert (out / "c.uncertainty.png").read_bytes() == before["c.uncertainty.png"]
    plain = run([folder], out, uncertainty=False)
    assert len(plain.failed) == 6  # an output without a map was asked for otherwise


def test_a_run_cut_off_between_output_and_map_goes_on(folder, tmp_path):
    out = tmp_path / "out"
    run([folder], out)
    journal = out / ".medenh-journal.jsonl"
    whole = (out / "c.uncertainty.png").read_bytes()
    lines = journal.read_text().splitlines()
    kept = [line for line in lines if "c.png" not in line or "begun" in line]
    assert len(kept) == len(lines) - 1
    journal.write_text("\n".join(kept) + "\n")
    (out / "c.uncertainty.png").unlink()
    again = run([folder], out)
    assert [r.input.name for r in again.written] == ["c.png"]
    assert (out / "c.uncertainty.png").read_bytes() == whole


def test_a_map_never_replaces_what_is_not_its_own(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "c.uncertainty.png").write_bytes(b"mine")
    summary = run([folder], out)
    assert [f.path.name for f in summary.failed] == ["c.png"]
    assert (out / "c.uncertainty.png").read_bytes() == b"mine"
    assert not (out / "c.png").exists()
    renamed = run([folder / "c.png"], out, on_exists="rename")
    assert renamed.written[0].uncertainty.name == "c-1.uncertainty.png"


def test_a_map_and_an_output_of_one_name_are_told_apart(folder, tmp_path):
    (folder / "c.uncertainty.png").write_bytes((folder / "c.png").read_bytes())
    summary = run([folder], tmp_path / "out")
    assert [f.path.name for f in summary.failed] == ["c.uncertainty.png"]
    assert "is that of" in summary.failed[0].reason
    assert len(summary.written) == 6


def test_a_map_never_replaces_an_input(folder, tmp_path):
    other = tmp_path / "c.uncertainty.png"
    other.write_bytes((folder / "c.png").read_bytes())
    asked = EnhanceOptions(uncertainty=True)
    with pytest.raises(UsageError, match="is another input"):
        make_plan([folder / "c.png", other], tmp_path, asked)


def test_names_of_maps():
    def names(targets, kind):
        return [path.name for path in map_paths([*map(_path, targets)], kind)]

    assert names(["1.dcm", "2.dcm"], "nifti") == ["1.dcm.uncertainty.nii.gz"]
    assert names(["1.png", "2.png"], "png") == [
        "1.uncertainty.png",
        "2.uncertainty.png",
    ]
    assert names(["a.hdr"], "nifti") == ["a.hdr.uncertainty.nii.gz"]
    assert names(["IM1"], "nifti") == ["IM1.uncertainty.nii.gz"]
    assert names(["a.nii"], "nifti") == ["a.uncertainty.nii"]


def _path(name):
    from pathlib import Path

    return Path("out") / name


# -- the library


def test_the_library_gives_a_pair(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    plain = medenh.enhance(array, model="clahe")
    enhanced, spread = medenh.enhance(array, model="clahe", uncertainty=True)
    np.testing.assert_array_equal(enhanced, plain)
    assert (spread.shape, spread.dtype) == ((40, 50), np.float32)
    assert 0 < spread.max() <= 0.5
    model = medenh.load_model("identity", uncertainty=True)
    stack, spreads = model.enhance(np.stack([array, array]))
    assert stack.shape == (2, 40, 50, 3)
    assert spreads.shape == (2, 40, 50)
    assert not spreads.any()


def test_the_library_writes_a_map_beside_an_output(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    target = tmp_path / "a.png"
    assert medenh.enhance(array, target, model="clahe", uncertainty=True) == target
    assert (tmp_path / "a.uncertainty.png").exists()
    target.unlink()
    with pytest.raises(OutputError, match="already there"):
        medenh.enhance(array, target, model="clahe", uncertainty=True)


def test_the_plan_names_the_maps(folder, tmp_path):
    asked = EnhanceOptions(uncertainty=True)
    plan = make_plan([folder], tmp_path / "out", asked)
    told = json.loads(json.dumps(plan.to_json()))["work"]
    found = {e["inputs"][0].split("/")[-1]: e["uncertainty"] for e in told}
    assert found == {k: [str(tmp_path / "out" / v)] for k, v in NAMES.items()}
    assert not (tmp_path / "out").exists()
