"""Which process works on a trial, and whether it is still there."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

SEEN_EVERY = 60.0
"""Seconds after which a worker says again that it is there."""


def myself() -> dict[str, Any]:
    """What a study remembers of this process."""
    own = os.getpid()
    return {"machine": machine(), "host": socket.gethostname(), "pid": own, "since": began(own)}


def machine() -> str:
    """One name for the machine since its start and for what numbers its processes.

    Two containers may share the name of their host and not the numbers of their processes.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def began(pid: int) -> str | None:
    """When the process began, in the kernel's ticks; None where the system does not say.

    It tells a process from a later one that was given the same number.
    """
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return None


def is_gone(worker: Mapping[str, Any] | None, *, seen: float, lost_after: float) -> bool:
    """Whether a worker that was last `seen` at a time (seconds since 1970) has died.

    Known at once for one of this machine; of one elsewhere when it has said nothing for `lost_after` seconds.
    """
    if worker is not None and worker.get("machine") == machine():
        pid = int(worker["pid"])
        return not _runs(pid) or worker.get("since") != began(pid)
    return time.time() - seen > lost_after


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there and somebody else's
        return True
    return True
