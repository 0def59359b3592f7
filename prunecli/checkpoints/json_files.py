"""JSON that a user names (a plan, a table): a regular file of bounded size, read strictly."""

from __future__ import annotations

from prunecli.checkpoints.header import strict_json
from prunecli.checkpoints.source import read_bytes
from prunecli.checkpoints.wording import shown
from prunecli.errors import InputRefused

MOST_BYTES = 64 << 20
MOST_OBJECTS = 500_000
MOST_VALUES = 2_000_000


def read_json(path: str, *, what: str) -> object:
    """The value in the file at `path`; raises InputRefused that begins with `what` ("the plan")."""
    content = read_bytes(path, most=MOST_BYTES)
    if not content.strip():
        raise InputRefused(f"{what} {shown(path)} is empty")
    try:
        return json_of(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputRefused(f"{what} {shown(path)} is not UTF-8, so it is no JSON") from None
    except ValueError as error:
        raise InputRefused(f"{what} {shown(path)} {error}") from None


def json_of(text: str) -> object:
    """The value that `text` holds as strict JSON; ValueError with a phrase for a user."""
    return strict_json(text, most_objects=MOST_OBJECTS, most_values=MOST_VALUES)
