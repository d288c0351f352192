"""A short fuzz of the readers, by hypothesis; `fuzz_readers` is the long one."""

from __future__ import annotations

import random

import pytest
from edits import edit
from fuzz_readers import FORMATS, corpus, reads_or_refuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EDITS = st.lists(
    st.tuples(
        st.integers(0, 1 << 16),
        st.sampled_from(["set", "insert", "cut", "repeat"]),
        st.binary(min_size=1, max_size=8),
    ),
    max_size=6,
)


def edited(data, edits):
    for place, kind, content in edits:
        at = place % (len(data) + 1)
        behind = at + len(content)
        data = {
            "set": data[:at] + content + data[behind:],
            "insert": data[:at] + content + data[at:],
            "cut": data[:at] + data[behind:],
            "repeat": data[:behind] + data[at:],
        }[kind]
    return data


@pytest.mark.parametrize("kind", FORMATS)
def test_edited_files_are_read_or_refused(kind, tmp_path):
    sources = [path.read_bytes() for path in corpus(tmp_path / "corpus", kind)]
    path = tmp_path / "edited"
    outcomes = set()

    @settings(
        max_examples=150,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(sources), EDITS)
    def check(source, edits):
        path.write_bytes(edited(source, edits))
        outcomes.add(reads_or_refuses(path))

    check()
    assert outcomes == {True, False}


@pytest.mark.parametrize("kind", ["dicom", "tiff", "nifti"])
def test_whatever_a_file_says_is_read_or_refused_and_written(kind, tmp_path):
    sources = [path.read_bytes() for path in corpus(tmp_path / "corpus", kind)]
    path, rng = tmp_path / "edited", random.Random(8)
    outcomes = set()
    for _ in range(300):
        path.write_bytes(edit(rng.choice(sources), rng))
        outcomes.add(reads_or_refuses(path))
    assert outcomes == {True, False}
