"""Finished files take the names of older ones: whatever fails, all are old or all are new.

The finished ones lie in a folder beside their names. The main name leaves first and comes last, so that
whoever finds it finds what belongs to it. What is to happen is noted before: when a run is killed in the
middle, the next one completes it, for by then everything that is needed lies there whole.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from prunecli.checkpoints.files import Files, current, fill

NOTE = ".exchange"
OLD = ".old-"
# File systems without hard links (FAT, some network shares) answer with one of these.
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_NO_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def exchange(staging: Path, names: Sequence[Path], *, force: bool) -> None:
    """Give what lies in `staging` its names beside it: the main one, then what may belong to it.

    With `force` what has a name goes, also where nothing new takes it. Raises OSError; then all is as it
    was, or if even that could not be done, the old lies in `staging` and `complete` is to be called later.
    """
    made = [name for name in names if os.path.lexists(staging / name.name)]
    there = [name for name in names if force and os.path.lexists(name)]
    place = current()
    if there == made == [names[0]] and names[0].is_dir() and _exchanged(staging, names[0], place):
        return
    if there or len(made) > 1:
        _note(staging, names, made, place)
    placed: list[Path] = []
    try:
        for name in there:
            place.replace(name, _aside(staging, name))
        for name in reversed(made):
            take_name(staging / name.name, name, place)
            placed.append(name)
    except BaseException:
        for name in placed:
            with suppress(OSError):
                name.unlink()
        for name in reversed(there):  # the main one last: once it is there all of them are
            if os.path.lexists(_aside(staging, name)):
                _aside(staging, name).replace(name)
        raise


def holds_what_was_there(staging: Path) -> bool:
    """Whether something that was moved aside still lies in `staging`."""
    return any(entry.name.startswith(OLD) for entry in staging.iterdir())


def complete(staging: Path) -> None:
    """Complete an exchange that was begun from `staging` and cut short; nothing is done where there is none.

    Nor where somebody else has taken the main name since.
    """
    noted = _noted(staging)
    if noted is None:
        return
    (main, *others), made = noted
    if os.path.lexists(main) or not os.path.lexists(staging / main.name):
        return
    for name in others:
        if os.path.lexists(staging / name.name):
            (staging / name.name).replace(name)
        elif name.name not in made:
            with suppress(FileNotFoundError):
                name.unlink()
    (staging / main.name).replace(main)


def take_name(made: Path, target: Path, place: Files) -> None:
    """Give a file or folder the name `target`, which nothing may have; raises FileExistsError."""
    if not made.is_dir():
        try:
            place.link(made, target)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        else:
            with suppress(OSError):  # the second name goes with the folder it is in
                place.remove(made)
            return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    place.replace(made, target)


def _exchanged(staging: Path, name: Path, place: Files) -> bool:
    """Let the new folder and the old one change places; False where the system cannot."""
    try:
        place.exchange(staging / name.name, name)
    except OSError as error:
        if error.errno in _NO_EXCHANGE:
            return False
        raise
    return True


def _aside(staging: Path, name: Path) -> Path:
    return staging / f"{OLD}{name.name}"


def _note(staging: Path, names: Sequence[Path], made: Sequence[Path], place: Files) -> None:
    note = staging / NOTE
    text = json.dumps({"names": [each.name for each in names], "made": [each.name for each in made]})
    fill(note, [text.encode()])
    place.sync(note)
    place.sync(staging)


def _noted(staging: Path) -> tuple[list[Path], list[str]] | None:
    """The names of an exchange, the main one first, and which of them are taken; None without such a note."""
    try:
        note = json.loads((staging / NOTE).read_bytes())
        names, made = ([str(name) for name in note[key]] for key in ("names", "made"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not names or any(Path(name).name != name for name in names):
        return None
    return [staging.with_name(name) for name in names], made
