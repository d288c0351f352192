"""Extensions of file names, and names without them; no file is opened."""

from __future__ import annotations

__all__ = ["EXTENSIONS", "split_name", "stem_of"]

# The first of each is what medenh gives a file that had no extension of its own.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "bmp": (".bmp", ".dib"),
    "tiff": (
        *(".tif", ".tiff", ".btf", ".tf8"),
        *(".ome.tif", ".ome.tiff", ".ome.btf", ".ome.tf8"),
    ),
    "nifti": (".nii.gz", ".nii", ".hdr.gz", ".img.gz", ".hdr", ".img"),
    "npy": (".npy",),
    "dicom": (".dcm", ".dicom", ".dic", ".ima"),
}


def split_name(name: str, kind: str | None = None) -> tuple[str, str]:
    """Return stem and extension of a file name; ".nii.gz" and ".ome.tif" are one.

    Parameters
    ----------
    name : str
        A name, or a path whose last part it is.
    kind : str, optional
        A key of `EXTENSIONS`: those of other formats are part of the stem then.

    Returns
    -------
    stem, extension : str
        The extension as it is written, or "": ".png" alone is a stem.

    Examples
    --------
    >>> split_name("a.b.NII.gz"), split_name("1.2.840"), split_name("a.png", "dicom")
    (('a.b', '.NII.gz'), ('1.2.840', ''), ('a.png', ''))
    >>> split_name("a.ome.tif"), split_name("a.ome.png")
    (('a', '.ome.tif'), ('a.ome', '.png'))
    """
    known = EXTENSIONS.values() if kind is None else [EXTENSIONS.get(kind, ())]
    endings = [ending for group in known for ending in group]
    for ending in sorted(endings, key=len, reverse=True):
        stem = name[: -len(ending)]
        if name.lower().endswith(ending) and stem and not stem.endswith("/"):
            return stem, name[-len(ending) :]
    return name, ""


def stem_of(name: str) -> str:
    """Return a file name without the extension of an image, or of JSON.

    Examples
    --------
    >>> stem_of("a.b.nii.gz"), stem_of("a.json"), stem_of("a.b")
    ('a.b', 'a', 'a.b')
    """
    if len(name) > len(".json") and name.lower().endswith(".json"):
        return name[: -len(".json")]
    return split_name(name)[0]
