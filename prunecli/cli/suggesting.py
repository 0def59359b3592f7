"""The next command, as it can be typed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

_OWN = "file/"
"""How the name of an architecture begins that a function of the user's own file builds."""


def command(name: str, path: object, *options: str) -> str:
    """`prunecli name` with a checkpoint, unless it came through a pipe and is gone."""
    named = [path] if isinstance(path, str) and path and not path.startswith("<") else []
    return shlex.join(["prunecli", name, *named, *options])


def own_model(architecture: object, input_shape: Sequence[int] = ()) -> tuple[str, ...]:
    """The options by which a network of one's own is opened again; none for an architecture with a name."""
    if not isinstance(architecture, str) or not architecture.startswith(_OWN):
        return ()
    shape = ("--input-shape", "x".join(str(size) for size in input_shape)) if input_shape else ()
    return ("--model", architecture.removeprefix(_OWN), *shape)
