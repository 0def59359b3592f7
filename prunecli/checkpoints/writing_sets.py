"""Writing several files that belong together: all of them or none, under names that are known before.

They are made in a folder beside the target, then take their names together (`exchanging`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from prunecli.checkpoints.exchanging import exchange, holds_what_was_there
from prunecli.checkpoints.files import Files, current
from prunecli.checkpoints.outputs import check_output, target_of
from prunecli.checkpoints.sweeping import sweep_stale, temporary_name
from prunecli.checkpoints.wording import shown
from prunecli.checkpoints.writing import Written, failed, measured, old_mode, settle
from prunecli.errors import PrunecliError, WorkFailed, WrongUse
from prunecli.interruption import put_off


def write_set(
    path: str | Path,
    write: Callable[[Path], None],
    *,
    beside: Callable[[Path], Sequence[Path]],
    force: bool = False,
) -> tuple[Written, ...]:
    """Let `write` fill a folder, given the path of the main file in it; what is on the disk, that file first.

    `beside` says which files may lie beside a main file of that path. Old ones go with the old main file.
    Raises as `write_whole` does; then everything is as it was.
    """
    target = target_of(path)
    names = (target, *beside(target))
    for each in names:
        check_output(each, force=force)
    told = target if Path(path).is_symlink() else Path(path)
    with _staged(path, target, names, force=force) as staging:
        write(staging / target.name)
        made = [staging / each.name for each in names if (staging / each.name).exists()]
        stray = sorted({entry.name for entry in staging.iterdir()} - {each.name for each in made})
        if stray or staging / target.name not in made:
            raise WorkFailed(f"the exporter wrote other files than it says: {', '.join(stray) or 'none'}")
        written = [_finished(each, target.with_name(each.name), current()) for each in made]
    names_as_given = (path, *(told.with_name(each.name) for each in made[1:]))
    return tuple(
        Written(os.fspath(name), each.bytes, each.sha256)
        for name, each in zip(names_as_given, written, strict=True)
    )


def check_folder(
    path: str | Path,
    *,
    holding: Iterable[str],
    inputs: Sequence[str | Path] = (),
    force: bool = False,
) -> None:
    """Say now what would keep a folder of files called `holding` from being written.

    One that is there is replaced with `force`, and only when nothing else and none of the `inputs` lies in
    it. Raises WrongUse.
    """
    target = target_of(path)
    for given in inputs:
        if target in target_of(given).parents:
            raise WrongUse(
                f"the folder {shown(path)} holds the input ({shown(given)})", hints=["choose another with -o"]
            )
    sweep_stale(target.parent)
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
) -> tuple[Written, ...]:
    """Let `write` fill a new folder, then give it the name `path`; its files, as they stand in `holding`.

    Raises as `check_folder` does, WorkFailed when the disk is full or anything else fails; then everything
    is as it was.
    """
    check_folder(path, holding=holding, force=force)
    target = target_of(path)
    with _staged(path, target, (target,), force=force) as staging:
        place, folder = current(), staging / target.name
        place.create_folder(folder)
        write(folder)
        made = [folder / name for name in holding if (folder / name).exists()]
        written = [_finished(each, Path(path) / each.name, place) for each in made]
        place.sync(folder)
    return tuple(written)


@contextmanager
def _staged(path: str | Path, target: Path, names: Sequence[Path], *, force: bool) -> Iterator[Path]:
    """A folder to make `names` in; when nothing was raised inside they take their places together."""
    place = current()
    staging = target.with_name(temporary_name())
    done = False
    try:
        place.create_folder(staging)
        yield staging
        with put_off():
            exchange(staging, names, force=force)
            done = True
    except PrunecliError:
        raise
    except OSError as error:
        raise failed(path, error) from error
    finally:
        _remove(staging, place, whole=done)
    settle(target.parent, path)


def _remove(staging: Path, place: Files, *, whole: bool) -> None:
    """Remove the folder; not one that still holds what could not be put back: the next run completes it."""
    with suppress(OSError):
        if not whole and holds_what_was_there(staging):
            return
        place.remove_folder(staging)
    shutil.rmtree(staging, ignore_errors=True)


def _finished(made: Path, target: Path, place: Files) -> Written:
    """A file that is on the disk with the mode that its target will have."""
    mode = 0o666 & ~_umask()
    place.set_mode(made, old_mode(target, mode))
    place.sync(made)
    size, digest = measured(made)
    return Written(os.fspath(target), size, digest)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
