from __future__ import annotations

import numpy as np
import pytest

from medenh.errors import NothingReadableError
from medenh.formats.pairing import key_of, list_pictures, match, named_like

GREY = np.zeros((4, 4), np.uint8)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.png", "a"),
        ("a.enhanced.png", "a"),
        ("sub/a.b.tiff", "sub/a.b"),
        ("scan.nii.gz", "scan"),
        ("scan.enhanced.nii.gz", "scan"),
        ("stack.ome.tif", "stack"),
        ("stack.enhanced.OME.TIFF", "stack"),
        ("1.2.840.1", "1.2.840.1"),  # DICOM without extension
        ("A.PNG", "A"),
        (".enhanced.png", ".enhanced.png"),
    ],
)
def test_key_drops_extension_and_suffix_only(name, key):
    assert key_of(name) == key


def test_pairs_by_name_whatever_the_order_and_extension(make_folder):
    one = list_pictures(make_folder("one", {"b.png": GREY, "a.enhanced.png": GREY}))
    two = list_pictures(make_folder("two", {"a.bmp": GREY, "b.npy": GREY}))
    pairing = match(one, {"reference": two}, name="enhanced")
    assert pairing.keys == ("a", "b")
    assert pairing.unmatched == {}


def test_accents_pair_however_the_system_stores_them(make_folder):
    """macOS writes and zips a letter and its accent as two characters."""
    one = list_pictures(make_folder("one", {"caf\u00e9.png": GREY}))
    two = list_pictures(make_folder("two", {"cafe\u0301.png": GREY}))
    assert match(one, {"reference": two}, name="enhanced").keys == ("caf\u00e9",)


def test_unmatched_files_are_listed_by_their_names(make_folder):
    one = list_pictures(make_folder("one", {"a.png": GREY, "x.png": GREY}))
    two = list_pictures(make_folder("two", {"a.png": GREY, "y.bmp": GREY}))
    pairing = match(one, {"reference": two}, name="enhanced")
    assert pairing.keys == ("a",)
    assert pairing.unmatched == {"enhanced": ("x.png",), "reference": ("y.bmp",)}


def test_equal_names_in_one_folder_name_both(make_folder):
    folder = make_folder("one", {"a.png": GREY, "a.enhanced.png": GREY})
    with pytest.raises(NothingReadableError, match=r"a\.enhanced\.png and a\.png"):
        list_pictures(folder)


def test_equal_names_cost_themselves_alone(make_folder):
    pictures = {"a.png": GREY, "a.bmp": GREY, "b.png": GREY}
    one = list_pictures(make_folder("one", pictures))
    two = list_pictures(make_folder("two", {"a.png": GREY, "b.png": GREY}))
    assert [path.name for path, _ in one.rejected] == ["a.bmp", "a.png"]
    pairing = match(one, {"reference": two}, name="enhanced")
    assert pairing.keys == ("b",)
    assert not any(pairing.unmatched.values())  # its partner is not alone


def test_no_common_name_says_examples(make_folder):
    one = list_pictures(make_folder("one", {"a.png": GREY}))
    two = list_pictures(make_folder("two", {"b.png": GREY}))
    with pytest.raises(NothingReadableError, match="'a' here, 'b' there"):
        match(one, {"reference": two}, name="enhanced")


def test_two_single_files_are_a_pair_whatever_their_names(make_folder):
    folder = make_folder("one", {"a.png": GREY, "b.png": GREY})
    one, two = (list_pictures(folder / name) for name in ("a.png", "b.png"))
    pairing = match(one, {"reference": named_like(two, one)}, name="enhanced")
    assert pairing.keys == ("a",)


def test_one_file_of_a_folder_leaves_no_one_unmatched(make_folder):
    folder = make_folder("one", {"a.png": GREY, "b.png": GREY})
    pairing = match(
        list_pictures(folder / "a.png"),
        {"reference": list_pictures(folder)},
        name="enhanced",
    )
    assert pairing.keys == ("a",)
    assert pairing.unmatched == {}


def test_empty_missing_and_broken(tmp_path, make_folder):
    with pytest.raises(NothingReadableError, match="no such"):
        list_pictures(tmp_path / "nowhere")
    empty = make_folder("empty", {})
    with pytest.raises(NothingReadableError, match="no picture"):
        list_pictures(empty)
    (empty / "broken.png").write_bytes(b"nothing")
    with pytest.raises(NothingReadableError, match="not an image"):
        list_pictures(empty)


def test_damaged_files_leave_no_partner_alone(make_folder):
    folder = make_folder("one", {"a.png": GREY, "b.png": GREY})
    other = make_folder("two", {"a.png": GREY, "b.png": GREY})
    (folder / "b.png").write_bytes(b"")
    subject = list_pictures(folder)
    assert subject.damaged == {"b"}
    pairing = match(subject, {"reference": list_pictures(other)}, name="enhanced")
    assert pairing.keys == ("a",)
    assert pairing.unmatched == {}
