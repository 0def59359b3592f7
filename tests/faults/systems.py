"""What a system may do to a command: called in its process before it begins."""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from pathlib import Path
from typing import Any


def forbid_writing_to_folders() -> None:
    """`os.access` says of every folder that it may not be written to."""
    real = os.access

    def access(path: Any, mode: int) -> bool:
        return not (mode & os.W_OK and os.path.isdir(path)) and real(path, mode)  # noqa: PTH112

    os.access = access  # type: ignore[assignment]


def take_the_reader_away() -> None:
    """Standard output is a pipe that nobody reads any more, as after `| head`."""
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(writer)
    os.close(reader)


def make_steps_last() -> None:
    """Every step of a training lasts a minute."""
    from prunecli.training.stepping import Stepper

    def change(stepper: Stepper, lr: float) -> None:
        sys.stderr.write("stepping\n")
        sys.stderr.flush()
        time.sleep(60)

    Stepper.change = change  # type: ignore[method-assign]


def forbid_the_network() -> None:
    """Whoever looks for another machine, or calls one, is told so."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was asked for something")

    socket.getaddrinfo = refuse
    socket.socket.connect = refuse  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = refuse  # type: ignore[method-assign, assignment]


def leave_little_memory() -> None:
    """No more than 48 MiB beside what the process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + (48 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
