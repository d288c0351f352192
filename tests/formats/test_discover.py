from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image as Pil
from pydicom import dcmread, uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from medenh import formats
from medenh.errors import UnreadableError, UnsupportedError
from medenh.formats.discover import discover, in_words, none_found
from medenh.formats.outputs import is_output_folder

DATA = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "formats"
links = pytest.mark.skipif(sys.platform == "win32", reason="needs links and pipes")


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pil.fromarray(DATA[0]).save(path, "PNG")
    return path


def test_what_is_no_picture_is_counted_by_kind(tmp_path):
    picture(tmp_path / "a.png")
    for name in ("a.bval", "b.BVAL", "c.zip", "sub/d.mgz", "e.dcm.gz", "DICOMDIR", "f"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"something else")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / ".hidden.zip").write_bytes(b"")
    found = discover([tmp_path])
    assert [item.paths[0].name for item in found.items] == ["a.png"]
    assert not found.rejected
    ones = dict.fromkeys([".dcm.gz", ".mgz", ".zip", "DICOMDIR", "empty", "f"], 1)
    assert list(found.kinds.items()) == [(".bval", 2), *ones.items()]
    elsewhere = found.only(lambda path: path.parent.name == "sub")
    assert (elsewhere.items, elsewhere.kinds) == ([], {".mgz": 1})


def test_many_kinds_stay_on_a_short_line():
    kinds = {f".{index}": 20 - index for index in range(10)}
    assert in_words(kinds).endswith(", 13 .7, 23 of 2 other kinds")
    del kinds[".9"]
    assert in_words(kinds).endswith(", 13 .7, 12 of 1 other kind")
    assert in_words({}) == ""


def slice_file(path: Path, *, series="1.2.3", place=None, number=1, **more) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Dataset()
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    made.SOPInstanceUID = f"1.2.9.{abs(hash(str(path))) % 10**9}"
    made.SeriesInstanceUID = series
    made.Modality = "MR"
    made.Rows, made.Columns = 4, 5
    made.SamplesPerPixel = 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
    made.PixelRepresentation = 0
    made.InstanceNumber = number
    if place is not None:
        made.ImagePositionPatient = [0, 0, place]
        made.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    for keyword, value in more.items():
        setattr(made, keyword, value)
    made.PixelData = bytes(4 * 5 * int(more.get("NumberOfFrames", 1)))
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta = meta
    made.save_as(path, enforce_file_format=True)
    return path


def listed(found):
    return [tuple(str(path) for path in item.relative) for item in found.items]


def test_a_file_given_by_name_is_an_item_or_rejected(tmp_path):
    good = picture(tmp_path / "deep" / "a.weird")
    bad = tmp_path / "b.txt"
    bad.write_text("no picture")
    found = discover([good, bad, tmp_path / "missing.png"])
    assert listed(found) == [("a.weird",)]
    assert found.items[0].paths == (good,)
    assert found.items[0].format == "png"
    assert [path for path, _ in found.rejected] == [bad, tmp_path / "missing.png"]
    assert all(isinstance(error, UnreadableError) for _, error in found.rejected)


def test_a_folder_gives_its_pictures_and_says_which_are_broken(tmp_path):
    for name in ("b.png", "a.png", "sub/c.png", "sub/deep/noextension"):
        picture(tmp_path / name)
    for name in ("broken.png", "empty.nii.gz", "notes.txt", "table.csv", "README"):
        (tmp_path / name).write_bytes(b"" if "empty" in name else b"text")
    picture(tmp_path / ".hidden.png")
    picture(tmp_path / ".medenh-cache" / "x.png")
    (tmp_path / ".a.png.123.medenh-part").write_bytes(b"")
    (tmp_path / ".medenh-journal.jsonl").write_bytes(b"{}")
    found = discover([tmp_path])
    expected = ["a.png", "b.png", "sub/c.png", "sub/deep/noextension"]
    assert listed(found) == [(str(Path(name)),) for name in expected]
    assert sorted(path.name for path, _ in found.rejected) == [
        "broken.png",
        "empty.nii.gz",
    ]
    assert listed(discover([tmp_path], recursive=False)) == [("a.png",), ("b.png",)]


def test_other_pictures_in_a_folder_are_rejected_with_a_word(tmp_path):
    Pil.fromarray(DATA[0]).save(tmp_path / "a.gif")
    found = discover([tmp_path])
    assert not found.items
    assert isinstance(found.rejected[0][1], UnsupportedError)


def test_a_picture_named_twice_is_listed_once(tmp_path):
    path = picture(tmp_path / "a.png")
    assert len(discover([path, tmp_path, tmp_path / "." / "a.png"]).items) == 1


@links
def test_links_out_of_the_tree_and_loops_are_not_followed(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    picture(root / "a.png")
    picture(outside / "secret.png")
    (root / "out").symlink_to(outside)
    (root / "out.png").symlink_to(outside / "secret.png")
    (root / "loop").symlink_to(root)
    (root / "self.png").symlink_to(root / "self.png")
    (root / "inner.png").symlink_to(root / "a.png")
    found = discover([root])
    assert listed(found) == [("a.png",)], "the inner link is the same picture"
    (tmp_path / "linked").symlink_to(root)
    assert listed(discover([tmp_path / "linked"])) == [("a.png",)]


@links
def test_links_are_counted_wherever_they_lie(tmp_path):
    root = tmp_path / "root"
    picture(root / "a.png")
    picture(root / ".kept")
    (root / "notes.txt").write_text("no picture")
    (root / "sub").mkdir()
    for name, target in {
        "inner.png": "a.png",
        "sub/again.png": "../a.png",
        "kept-1.png": ".kept",
        "kept-2.png": ".kept",
        "out.png": tmp_path / "elsewhere.png",
        "loop": ".",
        "words.txt": "notes.txt",
    }.items():
        (root / name).symlink_to(target)
    for inputs in ([root], [root, root]):
        found = discover(inputs)
        assert listed(found) == [("a.png",), ("kept-1.png",)]
        assert found.kinds == {
            "links to files that are there by themselves": 3,
            ".txt": 2,
            "links out of the folder or to nowhere": 1,
            "links to folders": 1,
        }
    named = discover([root / "inner.png", root])
    assert listed(named) == [("inner.png",), ("kept-1.png",)]
    assert named.kinds["links to files that are there by themselves"] == 2


def test_folders_of_outputs_are_passed_over_where_they_are_told(tmp_path):
    root = tmp_path / "in"
    for name in ("a.png", "made/b.png", "made/deep/c.png", "own/d.png"):
        picture(root / name)
    for name in ("mark", "made/mark", "own/inner/mark"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"")

    def found_in(*inputs):
        found = discover(inputs, is_output=lambda _, names: "mark" in names)
        names = {item.relative[0].as_posix() for item in found.items}
        return names, [one for one in found.kinds if one.startswith("folder")]

    made, inner = (
        f"folder of earlier outputs ({root / name})"
        for name in ("made", Path("own") / "inner")
    )
    assert found_in(root) == ({"a.png", "own/d.png"}, [made, inner])
    everything = {"a.png", "made/b.png", "made/deep/c.png", "own/d.png"}
    assert found_in(root, root / "made") == (everything, [inner])
    assert found_in(root / "made") == ({"b.png", "deep/c.png"}, [])
    assert len(discover([root]).items) == 4


@links
def test_pipes_in_a_folder_do_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b")
    (tmp_path / "masks").mkdir()
    os.mkfifo(tmp_path / "records.jsonl")
    (tmp_path / "folder.dcm").mkdir()
    found = discover([tmp_path])
    assert [path.name for path, _ in found.rejected] == ["a.png"]
    assert not is_output_folder(tmp_path, ["records.jsonl"])


def test_both_halves_of_a_pair_are_one_item(tmp_path):
    nibabel.save(nibabel.Nifti1Pair(DATA, np.eye(4)), tmp_path / "v.img")
    for inputs in (
        [tmp_path],
        [tmp_path / "v.img"],
        [tmp_path / "v.hdr"],
        [tmp_path / "v.hdr", tmp_path / "v.img"],
    ):
        found = discover(inputs)
        assert listed(found) == [("v.hdr",)]
        assert not found.rejected
    assert formats.read(found.items[0].paths).frames == 5
    (tmp_path / "v.hdr").unlink()
    assert [path.name for path, _ in discover([tmp_path]).rejected] == ["v.img"]


def test_a_series_is_one_item_sorted_by_position(tmp_path):
    places = {"a": 30.0, "b": 10.0, "c": 20.0, "d": -5.0}
    for name, place in places.items():
        slice_file(tmp_path / "s" / name, place=place)
    picture(tmp_path / "s" / "x.png")
    found = discover([tmp_path])
    order = ("d", "b", "c", "a")
    assert listed(found) == [
        tuple(str(Path("s") / name) for name in order),
        (str(Path("s") / "x.png"),),
    ]
    assert found.items[0].format == "dicom"
    assert formats.read(found.items[0].paths).frames == 4


def test_what_is_not_one_volume_stays_apart(tmp_path):
    slice_file(tmp_path / "a1", place=1)
    slice_file(tmp_path / "a2", place=2)
    slice_file(tmp_path / "b1", place=1, series="1.2.4")
    slice_file(tmp_path / "c1", place=3, PhotometricInterpretation="MONOCHROME1")
    slice_file(tmp_path / "d1", place=4, NumberOfFrames=2)
    slice_file(tmp_path / "e1", place=5, BitsStored=7, HighBit=6)
    slice_file(tmp_path / "other" / "a3", place=3)
    slice_file(tmp_path / "w1", series="1.2.6", place=7)  # a slice and its copy
    slice_file(tmp_path / "w2", series="1.2.6", place=7)
    slice_file(tmp_path / "x1", series="1.2.5")  # views without a place
    slice_file(tmp_path / "x2", series="1.2.5", number=2)
    found = discover([tmp_path])
    grouped = [item for item in found.items if len(item.paths) > 1]
    assert [tuple(path.name for path in item.paths) for item in grouped] == [
        ("a1", "a2")
    ]
    assert len(found.items) == 10
    assert not found.rejected


@links
def test_a_part_of_a_linked_data_set_says_what_to_give(tmp_path):
    store = tmp_path / ".git" / "annex"
    store.mkdir(parents=True)
    picture(store / "a.png")
    part = tmp_path / "sub-01"
    part.mkdir()
    (part / "b.png").symlink_to(Path("..") / ".git" / "annex" / "a.png")
    error = none_found([part], discover([part]).kinds)
    assert "give the one that holds their targets" in str(error.hint)
    assert listed(discover([tmp_path])) == [(str(Path("sub-01") / "b.png"),)]
    assert len(discover([part / "b.png"]).items) == 1


def test_times_of_one_place_are_one_item(tmp_path):
    for number in (3, 1, 2):
        slice_file(tmp_path / f"t{4 - number}", place=7, number=number)
    (item,) = discover([tmp_path]).items
    assert [path.name for path in item.paths] == ["t3", "t2", "t1"]
    image = formats.read(item.paths)
    assert (image.frames, image.geometry.depth) == (3, 1)


@pytest.mark.parametrize("kind", ["7", "6.1", "1.1", "77.1.5.1", "12.1"])
def test_a_place_that_is_that_of_all_makes_no_volume_of_pictures(tmp_path, kind):
    """Of captures, ultrasound, radiographs, fundus photographs and angiograms."""
    sop_class = f"1.2.840.10008.5.1.4.1.1.{kind}"
    for number in (1, 2, 3):
        slice_file(
            tmp_path / str(number), place=0, number=number, SOPClassUID=sop_class
        )
    assert listed(discover([tmp_path])) == [("1",), ("2",), ("3",)]


@pytest.mark.parametrize("places", [(0, 0), (0, 3)])
def test_magnitudes_and_phases_of_a_series_are_volumes_of_their_own(tmp_path, places):
    for number, (place, word) in enumerate((p, w) for w in "MP" for p in places):
        types = ["ORIGINAL", "PRIMARY", word]
        more = {"place": place, "number": number, "ImageType": types}
        slice_file(tmp_path / f"{word}{number}", **more)
    assert listed(discover([tmp_path])) == [("M0", "M1"), ("P2", "P3")]


def test_a_series_that_lies_in_several_folders_is_told(tmp_path):
    for place in range(5):
        slice_file(tmp_path / "split" / f"p{place % 2}" / str(place), place=place)
        for copy in ("original", "backup"):
            slice_file(tmp_path / copy / str(place), series="1.2.4", place=place)
    found = discover([tmp_path])
    remarks = {item.relative[0].as_posix(): item.remark for item in found.items}
    assert "which has 5 in 2 folders" in remarks.pop("split/p0/0")
    assert "which has 5 in 2 folders" in remarks.pop("split/p1/1")
    assert remarks == {"backup/0": "", "original/0": ""}
    parts = discover([tmp_path / "split" / "p0", tmp_path / "split" / "p1"])
    assert all("which has 5 in 2 folders" in item.remark for item in parts.items)
    assert not discover(sorted(tmp_path.glob("split/*/*"))).items[0].remark


def test_slices_given_by_name_are_one_volume_as_in_a_folder(tmp_path):
    paths = [slice_file(tmp_path / str(place), place=place) for place in (2, 0, 1)]
    lone = picture(tmp_path / "a.png")
    found = discover([*paths, lone])
    assert listed(found) == [("0", "1", "2"), ("a.png",)]
    assert not found.rejected


def test_a_damaged_slice_given_by_name_stays_an_item_that_reading_explains(tmp_path):
    paths = [slice_file(tmp_path / str(place), place=place) for place in (1, 0)]
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(paths[0].read_bytes()[:140])
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    found = discover([paths[0], damaged, text, paths[1]])
    assert listed(found) == [("0", "1"), ("damaged.dcm",)]
    assert [path for path, _ in found.rejected] == [text]
    with pytest.raises(UnreadableError):
        formats.read(found.items[1].paths)


def test_a_dicomdir_is_skipped_and_a_broken_slice_is_said(tmp_path):
    slice_file(tmp_path / "a.dcm", place=1)
    slice_file(tmp_path / "b.dcm", place=2)
    slice_file(tmp_path / "DICOMDIR")
    (tmp_path / "c.dcm").write_bytes((tmp_path / "a.dcm").read_bytes()[:140])
    found = discover([tmp_path])
    assert listed(found) == [("a.dcm", "b.dcm")]
    assert [path.name for path, _ in found.rejected] == ["c.dcm"]


def pixelless(path: Path, sop_class: str) -> Path:
    """Write a DICOM object without pixels: a slice whose picture is taken out."""
    made = dcmread(slice_file(path))
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = sop_class
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(made, keyword)
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize(
    "sop_class",
    [
        uid.BasicTextSRStorage,
        uid.GrayscaleSoftcopyPresentationStateStorage,
        uid.KeyObjectSelectionDocumentStorage,
        uid.RTPlanStorage,
        uid.EncapsulatedPDFStorage,
        "1.2.3.4.5",  # of a vendor
    ],
)
def test_dicom_without_pixels_by_its_nature_is_passed_over(tmp_path, others, sop_class):
    report = pixelless(tmp_path / "report.dcm", sop_class)
    for place in range(others):
        slice_file(tmp_path / f"{place}.dcm", place=place)
    found = discover([tmp_path])
    assert [len(item.paths) for item in found.items] == [others] * bool(others)
    assert found.passed_over == [report]
    assert not found.rejected
    (named,) = discover([report]).items  # by name it is an error all the same
    with pytest.raises(UnsupportedError, match="holds no pixel data"):
        formats.read(named.paths)


@pytest.mark.parametrize(
    "sop_class",
    [
        uid.SegmentationStorage,
        "1.2.840.10008.5.1.4.1.1.66.7",  # label maps
        uid.RTDoseStorage,
    ],
)
def test_pixels_that_describe_a_picture_are_passed_over(tmp_path, sop_class):
    slices = [slice_file(tmp_path / f"{n}.dcm", place=n) for n in range(3)]
    mask = tmp_path / "mask.dcm"
    made = dcmread(slices[1])
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = sop_class
    made.save_as(mask, enforce_file_format=True)
    found = discover([tmp_path])
    assert [len(item.paths) for item in found.items] == [3]
    assert found.passed_over == [mask]
    (named,) = discover([mask]).items
    with pytest.raises(UnsupportedError, match=r"segmentation|dose"):
        formats.read(named.paths)


@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize(
    "sop_class",
    [
        uid.CTImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.EnhancedUSVolumeStorage,
    ],
)
def test_images_without_pixels_are_failures(tmp_path, others, sop_class):
    broken = pixelless(tmp_path / "IM1", sop_class)
    for place in range(others):
        slice_file(tmp_path / f"{place}.dcm", place=place)
    ((path, error),) = discover([tmp_path]).rejected
    assert path == broken
    assert isinstance(error, UnreadableError)
    with pytest.raises(UnreadableError, match="holds no pixel data"):
        formats.read(broken)


def test_ten_thousand_files_take_seconds(tmp_path):
    data = picture(tmp_path / "0.png").read_bytes()
    for index in range(1, 5_000):
        (tmp_path / f"{index}.png").write_bytes(data)
        (tmp_path / f"{index}.txt").write_bytes(b"")
    start = time.process_time()
    assert len(discover([tmp_path]).items) == 5_000
    assert time.process_time() - start < 3


@links
def test_a_hundred_thousand_files_in_a_folder(tmp_path):
    first = picture(tmp_path / "0.png")
    for index in range(1, 100_000):
        # a second name costs less than a second file; most are plainly no pictures
        name = f"{index}.png" if index % 10 == 0 else f"{index}.txt"
        try:
            (tmp_path / name).hardlink_to(first)
        except OSError:  # a file may have so many names
            first = tmp_path / f"{index}.png"
            first.write_bytes((tmp_path / "0.png").read_bytes())
    found = discover([tmp_path])
    assert len(found.items) == 10_000
    assert not found.rejected


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real files are not here")
def test_real_folder():
    found = discover([SHARED])
    series = [item for item in found.items if len(item.paths) > 1]
    assert [
        len(item.paths) for item in series if "series_t1" in str(item.paths[0])
    ] == [6]
    names = {path.name for item in found.items for path in item.paths}
    assert "nifti_pair.hdr" in names
    assert "nifti_pair.img" not in names
    assert {path.name for path, _ in found.rejected} <= {"sr_no_pixels.dcm"}


@links
def test_a_link_never_hides_the_file_it_leads_to(tmp_path):
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    picture(folder / "scan.png")
    (folder / "latest.png").symlink_to("scan.png")
    (folder / "below" / "again.png").symlink_to("../scan.png")
    hidden = folder / ".kept"
    hidden.write_bytes((folder / "scan.png").read_bytes())
    (folder / "only.png").symlink_to(".kept")
    names = sorted(str(item.relative[0]) for item in discover([folder]).items)
    assert names == ["only.png", "scan.png"]
