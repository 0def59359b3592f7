"""What a library raised, as one line."""

from __future__ import annotations

import re
import textwrap

REASON_LENGTH = 200


def reason(failure: BaseException) -> str:
    """The innermost cause, without colours and line ends."""
    while failure.__cause__ is not None:  # the exporters wrap what went wrong into what to do next
        failure = failure.__cause__
    words = re.sub(r"\x1b\[[0-9;]*m", "", str(failure))
    return f"{type(failure).__name__}: {textwrap.shorten(words, REASON_LENGTH, placeholder=' …')}"
