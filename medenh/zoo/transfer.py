"""Carry a model to a machine without network: one zip, or a folder, with its card.

Both hold ``card.json`` and the safetensors file, and nothing else. The same model gives
the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from shlex import quote
from typing import IO

from medenh.errors import OutputError, UsageError, WeightsError
from medenh.hashing import sha256_file
from medenh.models import find_preset
from medenh.zoo.cache import (
    cache_folders,
    cached_name,
    is_bundled,
    publishing,
    writable_cache,
)
from medenh.zoo.card import ModelCard, Weights
from medenh.zoo.fetch import weights_path
from medenh.zoo.load import check_header
from medenh.zoo.manifest import Manifest, load_manifest, read_card

__all__ = ["CARD_FILE", "export_model", "import_model", "pack", "remove_model"]

CARD_FILE = "card.json"
_Member = Callable[[Path, str], AbstractContextManager[tuple[IO[bytes], int]]]
_CARD_LIMIT = 1 << 20
_OF_RUNS = ("last.pt", "best.safetensors")  # what `medenh train` leaves in its folder
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can tell


def export_model(
    name: str, path: str | Path, *, offline: bool | None = None
) -> ModelCard:
    """Write a model and its card to one file or folder.

    Parameters
    ----------
    name : str
        Id or ``id@version``.
    path : path
        A name that ends in ``.zip`` becomes a zip file, one without extension a
        folder. It must not exist yet.
    offline : bool, optional
        True opens no socket; taken from ``MEDENH_OFFLINE`` if not given.

    Returns
    -------
    ModelCard
        What was exported.

    Raises
    ------
    UsageError
        The model is unknown or has no weights to carry; the target is there already, or
        its name promises something else.
    WeightsError
        Its weights cannot be had.
    OutputError
        The target cannot be written.
    """
    target = Path(path)
    card = load_manifest().resolve(name).card
    if card.weights is None:
        raise UsageError(f"{card.id} has no weights: every installation has it already")
    _check_name(target)
    if target.exists() or target.is_symlink():
        raise UsageError("exists already", path=target, hint="choose another name")
    pack(card, card.weights, weights_path(card, offline=offline), target)
    return card


def _check_name(target: Path) -> None:
    """Refuse a name that promises weights of another kind; "mine-1.2" has no such."""
    ending = target.suffix.lower()
    if ending == ".zip" or not ending or ending[1:].isdigit():
        return
    raise UsageError(
        f"no {ending} is written: an export is the card and the weights "
        "(safetensors), for `medenh models import`",
        path=target,
        hint="end the name in .zip, without an extension for a folder, or in .onnx for "
        "the network alone",
    )


def pack(card: ModelCard, weights: Weights, source: Path, target: Path) -> None:
    """Write a card and the weights at ``source`` as `import_model` reads them.

    Raises
    ------
    OutputError
        The target cannot be written.
    """
    text = json.dumps(card.to_dict(), indent=1, sort_keys=True).encode() + b"\n"
    try:
        if target.suffix.lower() == ".zip":
            _write_zip(target, text, source, weights.file)
        else:
            _write_folder(target, text, source, weights.file)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {error.strerror or error}", path=target
        ) from error


def _write_zip(target: Path, card: bytes, source: Path, name: str) -> None:
    with publishing(target) as part, zipfile.ZipFile(part, "w") as archive:
        archive.writestr(_entry(CARD_FILE, len(card)), card)
        entry = _entry(name, source.stat().st_size)
        with archive.open(entry, "w") as sink, source.open("rb") as weights:
            shutil.copyfileobj(weights, sink)


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.create_system = 3  # the same bytes on every system
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.file_size = size
    return entry


def _write_folder(target: Path, card: bytes, source: Path, name: str) -> None:
    with publishing(target / name) as part:
        shutil.copyfile(source, part)
    with publishing(target / CARD_FILE) as part:
        part.write_bytes(card)


def import_model(path: str | Path) -> ModelCard:
    """Take an exported model into the cache.

    The weights of a model that the manifest lists become available to it, where the
    installation has them not already. A model that it does not list is added under its
    id; its aliases and defaults are dropped, so that no import changes what other names
    mean.

    Parameters
    ----------
    path : path
        What `export_model` wrote: zip file or folder.

    Returns
    -------
    ModelCard
        The model, as it is listed from now on.

    Raises
    ------
    WeightsError
        It is no exported model, is damaged, or contradicts a listed model.
    """
    source = Path(path)
    try:
        if source.is_dir():
            _check_folder(source)
            return _import(source, _folder_member)
        return _import(source, _zip_member)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(
            f"cannot be imported: {reason}",
            path=source,
            hint="`medenh models export`, `publish` and `convert` write what can be; "
            "a checkpoint goes through `convert`",
        ) from error


def _check_folder(source: Path) -> None:
    """Refuse a folder that is no export, a training run's above all."""
    if os.path.lexists(source / CARD_FILE):
        return
    if any((source / name).is_file() for name in _OF_RUNS):
        raise WeightsError(
            "is the folder of a training run, not an exported model",
            path=source,
            hint=f"`medenh models publish {quote(str(source))}` measures it and "
            "writes a zip to import",
        )
    raise WeightsError(
        f"holds no {CARD_FILE}: it is no exported model",
        path=source,
        hint="give what `medenh models export`, `publish` or `convert` wrote, a zip "
        f"or a folder with {CARD_FILE} and the weights",
    )


def _import(source: Path, member: _Member) -> ModelCard:
    with member(source, CARD_FILE) as (file, size):
        if size > _CARD_LIMIT:
            raise WeightsError("its card is beyond 1 MB", path=source)
        card = read_card(file.read(), source)
    if card.weights is None:
        raise WeightsError("its card names no weights", path=source)
    _check_network(card, source)
    listed = _listed(card, card.weights, source)
    own = listed or _own(card, card.weights, source)
    with member(source, card.weights.file) as (file, size):
        if size != card.weights.size_bytes:
            raise WeightsError(
                "its weights do not have the size on its card", path=source
            )
        if not is_bundled(own):
            _store_weights(file, card.weights, source)
    if listed is None:
        _store_card(own)
    return own


def _check_network(card: ModelCard, source: Path) -> None:
    """Refuse a network that this version does not know."""
    try:
        find_preset(card.architecture, card.preset)
    except UsageError as error:
        raise WeightsError(
            f"its network is unknown here: {error.what}",
            path=source,
            hint="a newer version of medenh may know it",
        ) from error


def _listed(card: ModelCard, weights: Weights, source: Path) -> ModelCard | None:
    """Return the listed model of that id and version, if there is one."""
    for known in load_manifest().cards:
        if known.full_id != card.full_id:
            continue
        if known.weights is None or known.weights.sha256 != weights.sha256:
            raise WeightsError(
                f"{card.full_id} is known here with other weights",
                path=source,
                hint="give the model another id or version",
            )
        return known
    return None


def _own(card: ModelCard, weights: Weights, source: Path) -> ModelCard:
    """Return the card as it will be listed: it answers to its id, and to no other."""
    file = f"{card.id}-{card.version}.safetensors"
    own = card.model_copy(
        update={
            "aliases": (),
            "default_for": (),
            "weights": weights.model_copy(update={"file": file, "bundled": False}),
        }
    )
    known = load_manifest()
    try:
        Manifest((*known.cards, own), known.imported | {own.full_id}).check()
    except ValueError as error:
        raise WeightsError(f"cannot be listed: {error}", path=source) from error
    return own


def _store_weights(file: IO[bytes], weights: Weights, source: Path) -> None:
    target = writable_cache() / "weights" / cached_name(weights)
    with publishing(target) as part:
        with part.open("wb") as sink:
            # one byte more than promised is enough to see that it is too long
            left = weights.size_bytes + 1
            while left and (chunk := file.read(min(left, 1 << 20))):
                sink.write(chunk)
                left -= len(chunk)
        if left != 1 or sha256_file(part) != weights.sha256:
            raise WeightsError("its weights do not match their hash", path=source)
        try:
            check_header(part)
        except WeightsError as error:  # of a part that is gone when it is told
            raise WeightsError(error.what, path=source, hint=error.hint) from error


def _store_card(card: ModelCard) -> None:
    target = writable_cache() / "models" / f"{card.full_id}.json"
    with publishing(target) as part:
        part.write_text(json.dumps(card.to_dict(), indent=1, sort_keys=True), "utf-8")


def remove_model(name: str) -> tuple[ModelCard, int]:
    """Take an imported model, or the fetched weights of a listed one, off the cache.

    Parameters
    ----------
    name : str
        Id, of which the newest version goes, or ``id@version``.

    Returns
    -------
    card : ModelCard
    freed : int
        Bytes; weights that another model has too stay.

    Raises
    ------
    UsageError
        There is no such model, or nothing of it lies in the cache.
    OutputError
        A file cannot be removed.
    """
    manifest = load_manifest()
    card = manifest.get(name)
    imported = card.full_id in manifest.imported
    if not imported and (card.weights is None or card.weights.bundled):
        raise UsageError(f"{card.full_id} is part of the installation")
    fetched = [one.weights for one in manifest.cards if one.weights is not None]
    hashes = [one.sha256 for one in fetched if not one.bundled]  # those lie elsewhere
    names = []
    if imported:  # first: weights that no card names harm nobody
        names.append(Path("models", f"{card.full_id}.json"))
    shared = card.weights is not None and hashes.count(card.weights.sha256) > 1
    if card.weights is not None and not shared:
        names.append(Path("weights", cached_name(card.weights)))
    places = [folder / one for one in names for folder in cache_folders()]
    sizes = [_remove(path) for path in places if path.is_file()]
    if not sizes:
        what = f"nothing of {card.full_id} lies in the cache"
        if shared:
            what = f"the weights of {card.full_id} are those of another model too"
        raise UsageError(what)
    return card, sum(sizes)


def _remove(path: Path) -> int:
    """Remove a file, and return the size it had."""
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"cannot be removed: {reason}", path=path) from error
    return size


@contextmanager
def _folder_member(source: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    path = source / name
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise WeightsError("not a regular file", path=path)
    with path.open("rb") as file:
        yield file, found.st_size


@contextmanager
def _zip_member(source: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open one of a zip's two members; members are read, never extracted by name."""
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if len(names) != 2 or len(set(names)) != 2 or name not in names:
            raise WeightsError(
                f"an exported model holds {CARD_FILE} and its weights, nothing else",
                path=source,
            )
        entry = archive.getinfo(name)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise WeightsError(f"{name} is not a regular file", path=source)
        with archive.open(entry) as file:
            yield file, entry.file_size
