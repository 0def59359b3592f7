"""What killed runs left in a folder: temporary files go, an exchange that had begun is completed.

A temporary name says which machine and which process made it, so that those of runs that live are left alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from prunecli.checkpoints.exchanging import complete

_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_TEMPORARY = re.compile(r"\.prunecli-(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]+)-[0-9a-f]{8}(\..*)?", re.DOTALL)
_LOCK = re.compile(r"\..+\.lock", re.DOTALL)
_LONGEST_RECORD = 4096
# In a container every run may have the same process id: what this process did not name is not its own.
_NAMED_HERE: set[str] = set()


def temporary_name(*, suffix: str = "") -> str:
    """A name of this process's own, which `sweep_stale` knows; some exporters look at the suffix."""
    name = f".prunecli-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}{suffix}"
    _NAMED_HERE.add(name)
    return name


def lock_of(target: Path) -> Path:
    """The file that is locked while `target` is in somebody's hands."""
    return target.with_name(f".{target.name[:200]}.lock")


def is_passing(name: str) -> bool:
    """Whether a file of that name is there only while a run lasts."""
    return bool(_TEMPORARY.fullmatch(name) or _LOCK.fullmatch(name))


def sweep_stale(folder: Path) -> int:
    """Clear away what runs of this machine that no longer live left in `folder`; how many things it was."""
    count = 0
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            for form, clear in _CLEARERS:
                found = form.fullmatch(entry.name)
                if found is not None:
                    with suppress(OSError):
                        count += clear(Path(entry.path), found)
    return count


def _clear_temporary(path: Path, found: re.Match[str]) -> bool:
    if found["host"] != _HOST or _lives(int(found["pid"]), path.name):
        return False
    if path.is_dir() and not path.is_symlink():
        complete(path)
        shutil.rmtree(path)
    else:
        path.unlink()
    return True


def _clear_lock(path: Path, _: re.Match[str]) -> bool:
    """Remove a lock that nobody holds, when it is ours: other programs have such names too."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = _is_record(os.read(descriptor, _LONGEST_RECORD))
        if ours and os.path.samestat(os.fstat(descriptor), path.stat()):
            path.unlink()
            return True
        return False
    finally:
        os.close(descriptor)


def _is_record(content: bytes) -> bool:
    try:
        record = json.loads(content)
    except ValueError:
        return False
    return isinstance(record, dict) and record.keys() == {"pid", "since"}


def _lives(pid: int, name: str) -> bool:
    if pid == os.getpid():
        return name in _NAMED_HERE
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


_CLEARERS: tuple[tuple[re.Pattern[str], Callable[[Path, re.Match[str]], bool]], ...] = (
    (_TEMPORARY, _clear_temporary),
    (_LOCK, _clear_lock),
)
