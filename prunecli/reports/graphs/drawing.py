"""The forms in which a channel graph is drawn, and the ending of a file for each.

What draws is loaded when it is wanted: the command line needs the names alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prunecli.errors import WrongUse

DRAWINGS: Mapping[str, tuple[str, str]] = {
    "text": ("text", "as_text"),
    "dot": ("languages", "as_dot"),
    "mermaid": ("languages", "as_mermaid"),
    "svg": ("svg", "as_svg"),
}
"""Form → the file of this folder that makes it, and the function there."""
ENDINGS = {".txt": "text", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".svg": "svg"}


def draw(document: Mapping[str, Any], form: str) -> str:
    """The channel graph of a document with `groups` and `flow`, in one of `DRAWINGS`."""
    file, name = DRAWINGS[form]
    function: Callable[[Mapping[str, Any]], str] = getattr(
        importlib.import_module(f"{__package__}.{file}"), name
    )
    return function(document)


def form_of(path: str) -> str:
    """The form that the ending of a file names; raises WrongUse for one that names none."""
    ending = Path(path).suffix.lower()
    if ending not in ENDINGS:
        raise WrongUse(
            f"{path!r} does not say how the channel graph is to be drawn",
            hints=[f"add: --graph {'|'.join(DRAWINGS)}", f"or name a file with {', '.join(ENDINGS)}"],
        )
    return ENDINGS[ending]
