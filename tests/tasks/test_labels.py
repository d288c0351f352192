from __future__ import annotations

import pytest

from medenh.errors import UsageError
from medenh.tasks import get_task
from medenh.tasks.labels import class_of, read_labels

DERM = get_task("class-derm")


@pytest.fixture
def labels_of(tmp_path):
    """Return a function that reads a CSV of some rows."""

    def read(*rows, encoding="utf-8"):
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(["file,label", *rows]), encoding)
        return read_labels(path, [DERM])

    return read


def test_all_spellings_of_a_label(labels_of):
    spellings = ["malignant", "1", "mel", "dx=mel", " malignant", "malignant "]
    rows = [f"{index}.png,{label}" for index, label in enumerate(spellings)]
    found = labels_of(*rows, ",")
    assert [class_of(label, DERM) for label in found.values()] == [1] * 6
    assert list(found) == [str(index) for index in range(6)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["a,cat"], "'cat' is no label"),
        (["a,2"], "'2' is no label"),
        (["a,²"], "'²' is no label"),
        (["a"], "no label for 'a'"),
        ([",benign"], "no file for 'benign'"),
        (["a.png,0", "a.tif,1"], "two labels for 'a.tif'"),
        ([], "columns file and label"),
    ],
)
def test_wrong_rows(labels_of, rows, said):
    with pytest.raises(UsageError, match=said):
        labels_of(*rows)


def test_labels_of_one_name_must_mean_one_class(labels_of):
    assert labels_of("a.png,0", "a.tif,benign") == {"a": "0"}


def test_a_file_that_is_no_table_of_labels(labels_of, tmp_path):
    with pytest.raises(UsageError, match="cannot read the labels"):
        labels_of("é.png,benign", encoding="latin-1")
    with pytest.raises(UsageError, match=r"labels: No such file or directory$"):
        read_labels(tmp_path / "none.csv", [DERM])
    path = tmp_path / "other.csv"
    path.write_text("name,class\na,1\n")
    with pytest.raises(UsageError, match=r"file and label; .* 'name', 'class'"):
        read_labels(path, [DERM])
    path.write_text("file;label\na;1\n")  # as some spreadsheets write it
    with pytest.raises(UsageError, match=r"has 'file;label' \(.*a comma between"):
        read_labels(path, [DERM])
