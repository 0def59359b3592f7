"""Quiet for exporters that print: standard output may be carrying a checkpoint."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Drop what is written to both standard streams, by Python or by compiled code, and every warning."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        _flush_compiled_code()
        sink = stack.enter_context(Path(os.devnull).open("w"))
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()  # what was printed before must not be dropped with the rest
            # Compiled code and log handlers made earlier write to the descriptor, not to sys.stdout.
            with contextlib.suppress(OSError):
                kept = os.dup(number)
                stack.callback(os.close, kept)
                stack.callback(os.dup2, kept, number)
                os.dup2(sink.fileno(), number)
        stack.callback(_flush_compiled_code)
        stack.callback(_forget_handlers, sink)
        stack.enter_context(contextlib.redirect_stdout(sink))
        stack.enter_context(contextlib.redirect_stderr(sink))
        yield


def _forget_handlers(sink: Any) -> None:
    """Take away log handlers that a library made meanwhile: they would write to a file that is closed."""
    for handler in list(logging.root.handlers):
        if getattr(handler, "stream", None) is sink:
            logging.root.removeHandler(handler)


def _flush_compiled_code() -> None:
    """Empty the buffers of the C library, or what compiled code printed comes out when the process ends."""
    with contextlib.suppress(OSError, TypeError, AttributeError):  # no such handle on Windows
        ctypes.CDLL(None).fflush(None)
