"""The three standard streams: what they are attached to, and what may pass through them."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from typing import TextIO

from prunecli.cli.values import Unfit
from prunecli.errors import WrongUse

_FALSE = ("", "0", "false", "no")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at `stream`; a closed one is nobody's."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def decorated(stream: TextIO | None) -> bool:
    """Whether tables on `stream` may be drawn for a screen; FORCE_COLOR asks for it anywhere."""
    if _asked("FORCE_COLOR"):
        return True
    return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO | None) -> bool:
    """Whether escape sequences may be written to `stream`: NO_COLOR wins over FORCE_COLOR."""
    return not os.environ.get("NO_COLOR") and decorated(stream)


def animated(stream: TextIO | None) -> bool:
    """Whether a bar may move on `stream`: a terminal that is no CI log."""
    return is_terminal(stream) and os.environ.get("TERM") != "dumb" and not _asked("CI")


def width(stream: TextIO | None) -> int | None:
    """Columns to fit a table into, or None where nothing may be folded (a pipe, a file)."""
    return shutil.get_terminal_size().columns if is_terminal(stream) else None


def readable(
    text: str, *, what: str = "CHECKPOINT", example: str = "prunecli inspect - < model.safetensors"
) -> str:
    """The path of `what`; `-` must be a pipe or a file, for nobody types a checkpoint."""
    if text == "-" and (sys.stdin is None or is_terminal(sys.stdin)):
        raise WrongUse(
            f"{what} is - but standard input is no pipe and no file", hints=[f"for example: {example}"]
        )
    if not text:
        raise Unfit("a path, or - for standard input")
    return text


def writable(text: str) -> str:
    """An output's path; `-` must not be a terminal, for a checkpoint is binary."""
    if text == "-" and (sys.stdout is None or is_terminal(sys.stdout)):
        raise WrongUse(
            "refused to write a binary file to the terminal" if sys.stdout else "standard output is closed",
            hints=[
                "name a file: -o small.safetensors",
                "or send it on: prunecli ... -o - | prunecli inspect -",
            ],
        )
    return named(text)


def named(text: str) -> str:
    """An output's path, or `-`: text may be written to a terminal too."""
    if not text:
        raise Unfit("a path, or - for standard output")
    return text


def file_name(text: str) -> str:
    """The path of a result that is always a file."""
    if text in ("", "-"):
        raise Unfit("the path of a file")
    return text


def can_write(text: str, stream: TextIO | None) -> bool:
    """Whether the stream's encoding has every sign of `text`."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str) -> str:
    """`text` without control characters: a name in a hostile file must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def abandon() -> None:
    """Point standard output at nothing: what is still buffered must not fail again at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)


def _asked(variable: str) -> bool:
    return os.environ.get(variable, "").lower() not in _FALSE
