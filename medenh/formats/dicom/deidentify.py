"""What names the patient leaves a data set: the Basic profile of DICOM PS3.15.

PS3.15 2026c, Annex E, Table E.1-1, Basic Application Level Confidentiality Profile,
without any of its options. `basic_profile.csv` holds the table: the action of the
standard, and the one taken here where the standard leaves a choice. Of "X/Z" it is Z
and of anything with D it is D, legal whatever type the attribute has in an object.

Beyond the table, what it does not name goes too where it is free text (LT, ST, UT), a
person's name, a date or a time, or unknown to the data dictionary. Codes and short
labels that it does not name stay: manufacturer, kernels, code meanings.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import UID

from medenh.formats import UID_SECRET
from medenh.formats.dicom.uids import uid_of_hash

__all__ = ["EDITION", "deidentify", "rules"]

Action: TypeAlias = Literal["X", "Z", "D", "U", "K"]

EDITION = "2026c"
_TABLE = Path(__file__).with_name("basic_profile.csv")
_OVERLAYS = range(0x6000, 0x6100)
_CURVES = range(0x5000, 0x5100)
_TELLING = ("DA", "DT", "LT", "PN", "ST", "TM", "UC", "UN", "UR", "UT")
# long forms of a code's value: of a vocabulary, as its meaning is, which stays
_CODES = ("LongCodeValue", "URNCodeValue")
# UIDs of vocabularies and kinds of objects, not of anything that was made
_VOCABULARY = ("CodingSchemeUID", "ContextUID", "MappingResourceUID")
_DUMMIES: Mapping[str, Any] = {
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "AT": BaseTag(0),
}
_NUMBERS = (
    *("DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"),
    *("US or SS", "US or OW", "US or SS or OW"),
)
_BYTES = ("OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW")


@cache
def rules() -> Mapping[int, Action]:
    """Return the action taken for each attribute of the table, by tag."""
    with _TABLE.open(encoding="ascii", newline="") as handle:
        found: dict[int, Action] = {}
        for row in csv.DictReader(handle):
            found[int(row["tag"], 16)] = row["action"]  # type: ignore[assignment]
        return found


def deidentify(dataset: Dataset) -> None:
    """Take out of a data set, in place, what the profile takes out; pixels stay.

    Parameters
    ----------
    dataset : Dataset
        Without pixel data; nested data sets are gone through too.

    Notes
    -----
    New UIDs are 2.25 and 122 bits of HMAC-SHA-256 of the old ones (PS3.5 B.2); its key
    is the environment variable ``MEDENH_UID_SECRET``, the secret. Equal UIDs become
    equal UIDs wherever they stand, in every file and every run with the same secret.
    Without a secret anybody who knows, or guesses, an old UID can compute its new one.
    """
    _Cleaner(os.environ.get(UID_SECRET, "").encode()).clean(dataset)
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = f"medenh: PS3.15 {EDITION} Basic Profile"
    code = Dataset()
    code.CodeValue = "113100"
    code.CodingSchemeDesignator = "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    dataset.DeidentificationMethodCodeSequence = Sequence([code])
    dataset.LongitudinalTemporalInformationModified = "REMOVED"


def _action(element: DataElement) -> Action:
    """Return what happens to an element; K keeps it, and looks into sequences."""
    tag = element.tag
    if tag.is_private or tag.group in _CURVES or tag.group in _OVERLAYS:
        return "X"
    listed = rules().get(int(tag))
    if listed is not None:
        return listed
    if element.keyword in _CODES:
        return "K"
    if element.VR in _TELLING or not dictionary_has_tag(tag):
        return "X"
    return "U" if element.VR == "UI" else "K"


class _Cleaner:
    """Carries out actions with one key for UIDs."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def clean(self, dataset: Dataset) -> None:
        """Carry out the table on a data set and all that it holds."""
        for tag in list(dataset.keys()):
            element = dataset[tag]
            action = _action(element)
            if action == "X":
                del dataset[tag]
            elif action == "Z":
                dataset[tag] = DataElement(tag, element.VR, _empty(element))
            elif action == "D":
                self._replace(element)
            elif element.VR == "SQ":
                for item in element.value:
                    self.clean(item)
            elif action == "U":
                self._rename(element)

    def _replace(self, element: DataElement) -> None:
        """Put a dummy in the place of a value, and of all values of a sequence."""
        if element.VR == "SQ":
            for item in element.value:
                for tag in list(item.keys()):
                    if tag.is_private:
                        del item[tag]
                    else:
                        self._replace(item[tag])
        elif element.VR == "UI":
            self._rename(element)
        else:
            element.value = _dummy(element.VR)

    def _rename(self, element: DataElement) -> None:
        keyword = keyword_for_tag(element.tag)
        if keyword in _VOCABULARY or keyword.endswith(("SOPClassUID", "SyntaxUID")):
            return
        value = element.value
        if isinstance(value, str):
            element.value = self._new(value)
        elif value:
            element.value = [self._new(str(one)) for one in value]

    def _new(self, old: str) -> UID:
        """Return the UID that takes an old one's place; standard ones stay."""
        if not old or UID(old).name != old:
            return UID(old)
        digest = hmac.digest(self._key, f"medenh uid {old}".encode(), hashlib.sha256)
        return uid_of_hash(digest)


def _empty(element: DataElement) -> Any:
    return Sequence([]) if element.VR == "SQ" else None


def _dummy(vr: str) -> Any:
    if vr in _NUMBERS:
        return 0
    if vr in _BYTES:
        return bytes(8)
    return _DUMMIES.get(vr, "REMOVED")
