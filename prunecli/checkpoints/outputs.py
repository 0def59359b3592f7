"""Where a result may be written: checked before any work, held against a second run while the work lasts."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from prunecli.checkpoints.sweeping import lock_of, sweep_stale
from prunecli.checkpoints.wording import shown
from prunecli.errors import WorkFailed, WrongUse

STREAM = "-"


def check_output(path: str | Path, *, inputs: Sequence[str | Path] = (), force: bool = False) -> None:
    """Say now what would keep a result from being written to `path` at the end.

    What killed runs left in its folder is cleared away first.

    `inputs` are files that are read for it and must stay. `-`, standard output, is always possible.
    Raises WrongUse for a missing folder, a folder, device, pipe or socket, an input (also by another name,
    a link or a hard link), a write-protected file, and an existing one without `force`; WorkFailed when the
    folder cannot be written to.
    """
    name = os.fspath(path)
    if name == STREAM:
        return
    if not name:
        raise WrongUse("the output has no name", hints=["give one: -o small.safetensors"])
    try:
        _check_folder(name)
        sweep_stale(target_of(name).parent)  # it may put a file back that a killed run had moved
        status = _status(name)
        if status is not None:
            _check_existing(name, status, inputs=inputs, force=force)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a path"
        raise WrongUse(f"{shown(name)} cannot be written: {reason}") from error


def refuse_twice(outputs: Iterable[str | Path | None]) -> None:
    """Raise WrongUse where two results are to be written to one file; None and `-` are no files."""
    seen: set[Path] = set()
    for output in outputs:
        if output is None or os.fspath(output) == STREAM:
            continue
        target = target_of(output)
        if target in seen:
            raise WrongUse(
                f"two results cannot both be written to {shown(output)}",
                hints=["name two files"],
            )
        seen.add(target)


def target_of(path: str | Path) -> Path:
    """The file that `path` means: a link's target, so that the link stays a link."""
    return Path(os.path.realpath(path))


def _status(name: str) -> os.stat_result | None:
    try:
        return os.stat(name)  # noqa: PTH116 - a path of odd bytes stays as it is
    except FileNotFoundError:
        return None


def _check_folder(name: str) -> None:
    if name.endswith(os.sep):
        raise WrongUse(f"{shown(name)} is a folder, not a file", hints=["add a file name"])
    folder = target_of(name).parent
    if not folder.exists():
        raise WrongUse(
            f"the folder {shown(folder)} does not exist", hints=[f"make it: mkdir -p {shown(folder)}"]
        )
    if not folder.is_dir():
        raise WrongUse(f"{shown(folder)} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise WorkFailed(f"the folder {shown(folder)} cannot be written to", hints=["choose another with -o"])


def _check_existing(name: str, status: os.stat_result, *, inputs: Sequence[str | Path], force: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise WrongUse(f"{shown(name)} is a folder, not a file", hints=["add a file name"])
    if not stat.S_ISREG(status.st_mode):
        raise WrongUse(
            f"{shown(name)} is a device, a pipe or a socket, not a file", hints=["for standard output: -o -"]
        )
    for given in inputs:
        if any(_is_same(part, status) for part in _parts_of(given)):
            raise WrongUse(
                f"{shown(name)} is the input itself ({shown(given)})", hints=["choose another output with -o"]
            )
    if not force:
        raise WrongUse(f"{shown(name)} exists", hints=["to replace it: --force"])
    if not status.st_mode & 0o222:
        raise WrongUse(f"{shown(name)} is write-protected", hints=[f"to allow it: chmod u+w {shown(name)}"])


def _parts_of(given: str | Path) -> Iterator[Path]:
    """The file itself; for an index of shards also every shard beside it that it speaks of."""
    path = Path(given)
    yield path
    if path.name.endswith(".index.json"):
        with suppress(OSError, ValueError):
            text = path.read_text(encoding="utf-8")
            yield from (shard for shard in path.parent.glob("*.safetensors") if f'"{shard.name}"' in text)


def _is_same(given: str | Path, status: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(given), status)  # noqa: PTH116 - as above
    except (OSError, ValueError):
        return False  # what is wrong with the input is said when it is read


@contextmanager
def hold_output(path: str | Path) -> Iterator[None]:
    """Keep `path` for this process: a second run that wants it stops at once instead of at the end.

    Raises WorkFailed, naming the other's process id and start. Nothing is held for standard output.
    """
    if os.fspath(path) == STREAM:
        yield
        return
    target = target_of(path)
    lock = lock_of(target)
    descriptor = _taken(lock, target)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _taken(lock: Path, target: Path) -> int:
    """The open descriptor of the lock file, held by this process."""
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise WorkFailed(f"{shown(lock)} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise WorkFailed(f"another run is writing {shown(target)}", hints=[_holder(lock)]) from error
        # The one before may have removed the name between our opening and our locking it.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                record = {"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
                os.ftruncate(descriptor, 0)
                os.write(descriptor, json.dumps(record).encode())
                return descriptor
        os.close(descriptor)


def _holder(lock: Path) -> str:
    try:
        record = json.loads(lock.read_text())
        return f"process {int(record['pid'])}, started {shown(record['since'])}; wait, or choose another -o"
    except (OSError, ValueError, KeyError, TypeError):
        return "wait for it or choose another output with -o"
