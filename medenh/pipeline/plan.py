"""What will be done, decided before anything is: inputs, outputs, what is done already.

Nothing is written here and no pixel is read; `--dry-run` shows just this.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from medenh import __version__
from medenh.device import num_threads
from medenh.errors import OutputError, UnsupportedError, UsageError, spelled
from medenh.formats import EXTENSIONS
from medenh.formats.discover import Discovery, Item, discover
from medenh.formats.files import (
    check_name,
    ignores_case,
    name_key,
    real_path,
    safe_output_path,
)
from medenh.formats.maps import MAP_FORMATS
from medenh.formats.outputs import has_journal
from medenh.formats.writers import check_deidentifiable
from medenh.pipeline.done import Judge
from medenh.pipeline.journal import Journal
from medenh.pipeline.naming import (
    enhanced_name,
    has_image_name,
    renamed,
    target_kind,
)
from medenh.pipeline.options import EnhanceOptions
from medenh.pipeline.results import Failure, Skip
from medenh.pipeline.work import Plan, WorkItem
from medenh.pipeline.writing import ONLY_FROM_DICOM

if TYPE_CHECKING:
    from medenh.pipeline.loading import ModelSource

__all__ = ["Plan", "WorkItem", "make_plan", "request_hash"]


def request_hash(options: EnhanceOptions) -> str:
    """Return a hash of all options that change what is written, and of the version.

    Engine, precision and device are not in it: the journal records what they came to,
    which "auto" does not tell.
    """
    parts = [
        __version__,
        options.model,
        options.pixel_settings,
        options.modality,
        options.format,
        options.strict,
        options.uncertainty,
        options.deidentify_settings,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def make_plan(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    options: EnhanceOptions,
    *,
    models: ModelSource | None = None,
) -> Plan:
    """Return what a run will do.

    Parameters
    ----------
    inputs : sequence of path
        Files and folders.
    output : path or None
        A file for one image (a file, or a DICOM series), else a folder; None is
        ``NAME.enhanced.EXT`` beside one file.
    options : EnhanceOptions
    models : ModelSource, optional
        A finished output counts only while the same model would be picked again, and
        run in the same way.

    Raises
    ------
    UsageError
        No input; no output for a folder or several files, or one that is named as a
        file; an extension of no format; an output that would replace an input.
    """
    if not inputs:
        raise UsageError("no input")
    paths = [Path(one) for one in inputs]
    asked = tuple(paths)
    if output is not None:
        _check_link(Path(output))
    found = _one_image(paths, output, options)
    if found is not None:
        paths = list(found.items[0].paths)
    single = found is not None or _is_single(paths, output)
    if single and output is not None:
        _check_name(Path(output), options.format)
    root = None if single else _root_of(paths, output)
    surroundings = _Surroundings(root, paths)
    if found is None:
        found = discover(paths, recursive=options.recursive, is_output=has_journal)
    found = found.only(lambda path: not surroundings.is_output(path))
    failed = [Failure(path, error) for path, error in found.rejected]
    folded = ignores_case(_place_of(root, output, paths))
    draft = _Draft(surroundings, options, models, failed, folded)
    draft.passed_over, draft.searched = found.kinds, asked
    draft.idle = _idle_options(options, {item.format for item in found.items})
    draft.sources.update(draft.key(path) for item in found.items for path in item.paths)
    for item in found.items:
        draft.place(item, None if root is not None else output)
    draft.found = len(draft.sources) + len(failed)
    if options.shard is not None:
        draft.keep_part(*options.shard)
    return draft.finish()


def _idle_options(options: EnhanceOptions, formats: Collection[str]) -> tuple[str, ...]:
    """Return a warning of each option that none of the inputs takes."""
    asked = {
        "axis": (options.axis, "NIfTI volumes", ("nifti",)),
        "bits": (options.bits, "16-bit PNG, TIFF and npy", ("png", "tiff", "npy")),
    }
    return tuple(
        f"without effect: {spelled(**{name: value})}, which is for {what}"
        for name, (value, what, fitting) in asked.items()
        if value is not None and formats and not set(fitting) & set(formats)
    )


def _check_link(output: Path) -> None:
    """Refuse a link to nothing: what was to lie there is not known."""
    if output.is_symlink() and not output.exists():
        raise UsageError(
            f"{output} is a link that leads nowhere",
            hint=f"choose another: {spelled(output='OUT')}",
        )


def _check_name(output: Path, wanted: str) -> None:
    """Refuse a name that says another format than the one asked for."""
    if wanted == "same" or not has_image_name(output):
        return
    said = target_kind(output, wanted, "same")
    if said != wanted:
        raise UsageError(
            f"{output} is named as {said}, and not as {wanted}",
            hint=f"name another, or leave out {spelled(format=wanted)}",
        )


def _one_image(
    paths: list[Path], output: str | Path | None, options: EnhanceOptions
) -> Discovery | None:
    """Find the one image in a folder, or among several files, that gets one file.

    As of a DICOM series that is to become one NIfTI file. None where the output is not
    named as a picture, or where there is more to enhance than one image for one file.
    """
    if output is None or (len(paths) == 1 and not paths[0].is_dir()):
        return None
    target = Path(output)
    if (
        not has_image_name(target)
        or target.is_dir()
        or str(output).endswith(("/", "\\"))
    ):
        return None
    found = discover(paths, recursive=options.recursive, is_output=has_journal)
    if len(found.items) != 1 or found.rejected:
        return None
    item = found.items[0]
    kind = target_kind(target, item.format, options.format)
    if kind == "dicom" and len(item.paths) > 1:  # each slice has a file of its own
        return None
    return found


def _is_single(paths: list[Path], output: str | Path | None) -> bool:
    """Tell whether one file becomes one named file."""
    one_file = len(paths) == 1 and not paths[0].is_dir()
    if output is None:
        if not one_file:
            raise UsageError(
                "a folder or several images need an output folder",
                hint=f"give a folder: {spelled(output='OUT')}",
            )
        return True
    if not str(output):
        raise UsageError("the name of the output is empty; is a variable unset?")
    if str(output) == "-":
        raise UsageError("pictures do not go through a pipe", hint="name a file")
    target = Path(output)
    if target.exists() and not (target.is_dir() or target.is_file()):
        # --on-exists overwrite would put a picture in its place
        raise UsageError(
            f"{target} is no place for a picture: it is a device or a pipe",
            hint=f"choose another: {spelled(output='OUT')}",
        )
    if target.is_dir() or str(output).endswith(("/", "\\")):
        return False
    if not one_file:
        _check_folder_name(target)
        return False
    if has_image_name(target) or not has_image_name(paths[0]):
        return True
    if target.suffix:
        known = ", ".join(chain.from_iterable(EXTENSIONS.values()))
        raise UsageError(
            f"{target} has no extension of a picture",
            hint=f"use one of {known}; or for a folder end it with a slash, {target}/",
        )
    return False


def _check_folder_name(target: Path) -> None:
    """Refuse what is named as a picture where a folder must be, unless it is there."""
    if has_image_name(target) and not target.exists():
        raise UsageError(
            f"{target} is named as a picture, and several images need a folder",
            hint=f"name a folder; if it is one, end it with a slash, {target}/",
        )


def _place_of(
    root: Path | None, output: str | Path | None, paths: Sequence[Path]
) -> Path:
    """Return the folder that outputs go to."""
    if root is not None:
        return root
    return (paths[0] if output is None else Path(output)).parent


def _root_of(paths: list[Path], output: str | Path | None) -> Path:
    if output is None:
        raise UsageError("several images need an output folder")
    root = Path(output)
    if root.exists() and not root.is_dir():
        hint = "several images need a folder as output"
        if len(paths) == 1 and not paths[0].is_dir():
            hint = "name one with the extension of a picture, or a folder"
        raise UsageError(f"{root} is a file", hint=hint)
    for path in paths:
        if path.is_dir() and real_path(path) == real_path(root):
            raise UsageError(
                "the output folder is the input folder",
                hint=f"choose another: {spelled(output='OUT')}",
            )
    return root


class _Surroundings:
    """How the output folder lies to the inputs.

    Parameters
    ----------
    root : path or None
        The output folder.
    inputs : list of path
        As they were named.
    """

    def __init__(self, root: Path | None, inputs: list[Path]) -> None:
        self.root = root
        self._place = None if root is None else real_path(root)
        self._named = {path for path in inputs if not path.is_dir()}
        folders = [real_path(path) for path in inputs if path.is_dir()]
        self._inner = [
            folder
            for folder in folders
            if self._place is not None and folder.is_relative_to(self._place)
        ]

    def is_output(self, path: Path) -> bool:
        """Tell whether a file is found only because the outputs lie in an input."""
        if self._place is None or path in self._named:
            return False
        return real_path(path).is_relative_to(self._place) and not self._is_inner(path)

    def _is_inner(self, path: Path) -> bool:
        place = real_path(path)
        return any(place.is_relative_to(folder) for folder in self._inner)

    def check(self, target: Path, source: Path) -> None:
        """Refuse an output among the inputs, where the next run would take it for one.

        Raises
        ------
        OutputError
            It lies in an input folder below the output folder.
        """
        if self._is_inner(target):
            raise OutputError(
                f"its output {target} lies in an input folder",
                path=source,
                hint="choose another output folder",
            )


@dataclass(slots=True)
class _Draft:
    """A plan in the making."""

    surroundings: _Surroundings
    options: EnhanceOptions
    models: ModelSource | None
    failed: list[Failure]
    ignoring_case: bool
    found: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    searched: tuple[Path, ...] = ()
    idle: tuple[str, ...] = ()
    sources: set[str] = field(default_factory=set)
    placed: list[WorkItem] = field(default_factory=list)
    taken: dict[str, Path] = field(default_factory=dict)

    @property
    def root(self) -> Path | None:
        """The output folder."""
        return self.surroundings.root

    def key(self, path: Path) -> str:
        """Return what two names of one file share."""
        return name_key(path, ignoring_case=self.ignoring_case)

    def place(self, item: Item, output: str | Path | None) -> None:
        """Give an item its outputs, or note why it cannot have them."""
        try:
            targets = self._targets(item, output)
            kind = self._kind(item, output)
            self._check_kind(item, kind)
            maps = MAP_FORMATS[kind] if self.options.uncertainty else ""
            work = WorkItem(
                item.paths,
                targets,
                item.format,
                kind=kind,
                map_format=maps,
                remarks=((item.remark,) if item.remark else ()) + self.idle,
            )
            self._check(work)
        except (OutputError, UnsupportedError) as error:
            self.failed.extend(Failure(path, error) for path in item.paths)
            return
        self.placed.append(work)

    def keep_part(self, index: int, count: int) -> None:
        """Keep one part of all, dealt out like cards: alike neighbours are split."""
        self.placed = self.placed[index - 1 :: count]
        self.failed = self.failed[index - 1 :: count]

    def _targets(self, item: Item, output: str | Path | None) -> tuple[Path, ...]:
        wanted = self.options.format
        if self.root is None:
            if output is not None:
                return (Path(output),)
            path = item.paths[0]
            return (path.with_name(enhanced_name(path.name, item.format, wanted)),)
        names = [renamed(path, item.format, wanted) for path in item.relative]
        if wanted in ("nifti", "npy", "tiff"):
            names = names[:1]
        return tuple(safe_output_path(self.root, name) for name in names)

    def _kind(self, item: Item, output: str | Path | None) -> str:
        """Return the format of an item's outputs; only a name of the user's tells it.

        A file that is named as what it is not stays what it is, under its name.
        """
        wanted = self.options.format
        if output is not None:
            return target_kind(Path(output), item.format, wanted)
        return item.format if wanted == "same" else wanted

    def _check_kind(self, item: Item, kind: str) -> None:
        """Refuse at once what no file of its format can become."""
        source = item.paths[0]
        if kind == "dicom" and item.format != "dicom":
            raise UnsupportedError(
                ONLY_FROM_DICOM, path=source, hint="choose another output format"
            )
        if self.options.deidentify is not None:
            check_deidentifiable(item.format, source, self.options.deidentify)

    def _check(self, item: WorkItem) -> None:
        for target in item.outputs:
            check_name(target)
            place = self.key(target)
            if place in self.sources:
                itself = place in {self.key(path) for path in item.sources}
                raise UsageError(
                    f"{target} is {'the input itself' if itself else 'another input'}",
                    hint="choose another output",
                )
            self.surroundings.check(target, item.path)
            other = self.taken.setdefault(place, item.path)
            if other != item.path:
                where = ", where names ignore case" if self.ignoring_case else ""
                raise OutputError(
                    f"its output {target} is that of {other} as well{where}",
                    path=item.path,
                    hint="enhance them into different folders, or give the folder that "
                    "holds both, which is mirrored",
                )

    def finish(self) -> Plan:
        """Sort out what is done or in the way; several threads hash what is there."""
        request = request_hash(self.options)
        journal = None if self.root is None else Journal(self.root)
        # what a strict run accepted is what one that is not strict would write
        strict = request_hash(replace(self.options, strict=True))
        judge = Judge(self.options.on_exists, journal, (request, strict), self.models)
        work: list[WorkItem] = []
        skipped: list[Skip] = []
        with ThreadPoolExecutor(num_threads(), "medenh-plan") as pool:
            for verdict in chain.from_iterable(pool.map(judge.judge, self.placed)):
                if isinstance(verdict, WorkItem):
                    work.append(verdict)
                elif isinstance(verdict, Skip):
                    skipped.append(verdict)
                else:
                    self.failed.append(verdict)
        return Plan(
            work=tuple(work),
            skipped=tuple(skipped),
            failed=tuple(self.failed),
            root=self.root,
            request=request,
            found=self.found,
            passed_over=self.passed_over,
            searched=self.searched,
        )
