"""The next command, as it can be typed."""

from __future__ import annotations

import shlex


def command(name: str, path: object, *options: str) -> str:
    """`prunecli name` with a checkpoint, unless it came through a pipe and is gone."""
    named = [path] if isinstance(path, str) and path and not path.startswith("<") else []
    return shlex.join(["prunecli", name, *named, *options])
