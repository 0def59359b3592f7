"""Writing several files that belong together: all of them or none, under names that are known before.

They are made in a folder beside the target. Then the main file leaves first and comes last, so that whoever
finds it finds what belongs to it: a kill in between leaves no main file, never one with another's parts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from prunecli.checkpoints.files import Files
from prunecli.checkpoints.outputs import check_output, target_of
from prunecli.checkpoints.wording import shown
from prunecli.checkpoints.writing import (
    Written,
    failed,
    measured,
    old_mode,
    put,
    sweep_stale,
    temporary_name,
)
from prunecli.errors import PrunecliError, WorkFailed, WrongUse

OLD = ".old-"


def write_set(
    path: str | Path,
    write: Callable[[Path], None],
    *,
    beside: Callable[[Path], Sequence[Path]],
    force: bool = False,
    files: Files | None = None,
) -> tuple[Written, ...]:
    """Let `write` fill a folder, given the path of the main file in it; what is on the disk, that file first.

    `beside` says which files may lie beside a main file of that path. Old ones go with the old main file.
    Raises as `write_whole` does; then everything is as it was.
    """
    place = files or Files()
    target = target_of(path)
    names = (target, *beside(target))
    for each in names:
        check_output(each, force=force)
    sweep_stale(target.parent)
    staging = target.with_name(temporary_name())
    try:
        staging.mkdir()
        write(staging / target.name)
        made = [staging / each.name for each in names if (staging / each.name).exists()]
        stray = sorted({entry.name for entry in staging.iterdir()} - {each.name for each in made})
        if stray or staging / target.name not in made:
            raise WorkFailed(f"the exporter wrote other files than it says: {', '.join(stray) or 'none'}")
        written = [_finished(each, target.with_name(each.name), place) for each in made]
        told = target if Path(path).is_symlink() else Path(path)
        _exchange(staging, names, made, place, force=force)
        place.sync(target.parent)
    except PrunecliError:
        raise
    except OSError as error:
        raise failed(path, error) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    names_as_given = (path, *(told.with_name(each.name) for each in made[1:]))
    return tuple(
        Written(os.fspath(name), each.bytes, each.sha256)
        for name, each in zip(names_as_given, written, strict=True)
    )


def check_folder(path: str | Path, *, holding: Iterable[str], force: bool = False) -> None:
    """Say now what would keep a folder of files called `holding` from being written.

    One that is there is replaced with `force`, and only when nothing else lies in it. Raises WrongUse.
    """
    target = target_of(path)
    if target.is_dir():
        stray = sorted(set(os.listdir(target)) - set(holding))  # noqa: PTH208 - names only
        if stray:
            raise WrongUse(
                f"the folder {shown(path)} holds other files: {shown(stray[0])}",
                hints=["choose another with -o"],
            )
        if not force:
            raise WrongUse(f"{shown(path)} exists", hints=["to replace it: --force"])
        return
    if target.exists():
        raise WrongUse(f"{shown(path)} is a file, not a folder", hints=["choose another with -o"])
    check_output(os.fspath(path).rstrip(os.sep), force=force)


def write_folder(
    path: str | Path,
    write: Callable[[Path], None],
    *,
    holding: Sequence[str],
    force: bool = False,
    files: Files | None = None,
) -> tuple[Written, ...]:
    """Let `write` fill a new folder, then give it the name `path`; its files, as they stand in `holding`.

    Raises as `check_folder` does, WorkFailed when the disk is full or anything else fails; then everything
    is as it was.
    """
    check_folder(path, holding=holding, force=force)
    place = files or Files()
    target = target_of(path)
    sweep_stale(target.parent)
    staging, old = (target.with_name(temporary_name()) for _ in range(2))
    try:
        staging.mkdir()
        write(staging)
        made = [staging / name for name in holding if (staging / name).exists()]
        written = [_finished(each, Path(path) / each.name, place) for each in made]
        place.sync(staging)
        if target.exists():
            place.replace(target, old)
        try:
            place.replace(staging, target)
        except OSError:
            if old.exists():
                place.replace(old, target)
            raise
        place.sync(target.parent)
    except PrunecliError:
        raise
    except OSError as error:
        raise failed(path, error) from error
    finally:
        for each in (staging, old):
            shutil.rmtree(each, ignore_errors=True)
    return tuple(written)


def _finished(made: Path, target: Path, place: Files) -> Written:
    """A file that is on the disk with the mode that its target will have."""
    mode = 0o666 & ~_umask()
    place.set_mode(made, old_mode(target, mode))
    place.sync(made)
    size, digest = measured(made)
    return Written(os.fspath(target), size, digest)


def _exchange(
    staging: Path, names: Sequence[Path], made: Sequence[Path], place: Files, *, force: bool
) -> None:
    """Move the old files away and the new ones to their names; on failure everything goes back."""
    moved: list[tuple[Path, Path]] = []
    placed: list[Path] = []
    try:
        for name in names if force else ():
            if name.exists():
                aside = staging / f"{OLD}{name.name}"
                place.replace(name, aside)
                moved.append((aside, name))
        for each in reversed(made):
            target = names[0].with_name(each.name)
            put(each, target, place)
            placed.append(target)
    except OSError:
        for target in placed:
            target.unlink()
        for aside, name in moved:
            with suppress(OSError):
                aside.replace(name)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
