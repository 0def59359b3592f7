"""A report as one HTML file that needs nothing else: style, script and pictures stand inside it.

Every string is escaped by the template; only pictures, the style and the script go in as they are. A policy
inside the page forbids everything that is not in the file, any script but this one included.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from itertools import count, groupby
from typing import TYPE_CHECKING

from prunecli.errors import WorkFailed
from prunecli.reports import cells
from prunecli.reports.inline_svg import InlineSvg, inline_svg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prunecli.reports.building import Report
    from prunecli.reports.sections import Block, Picture

_TEMPLATES = "templates"


def require_packages() -> None:
    """Raise WorkFailed where the template engine or the drawing library is missing."""
    try:
        import jinja2  # noqa: F401
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise WorkFailed(
            f"an HTML report needs {error.name}, which is not installed",
            hints=[
                "install it: pip install 'prunecli[plot]'",
                "or write one that needs nothing: FILE.md",
            ],
        ) from None


def render(report: Report) -> str:
    """The whole page; raises WorkFailed where a package is missing."""
    require_packages()
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["runs"] = _runs
    script = _text("report.js")
    return environment.get_template("report.html").render(
        report=report,
        style=Markup(_text("report.css")),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        shown=cells.shown,
        draw=_drawing(),
        markup=Markup,
    )


def _runs(blocks: Sequence[Block]) -> list[tuple[str, list[Block]]]:
    """Blocks of one kind that follow each other, so that pictures can stand side by side."""
    return [(kind, list(run)) for kind, run in groupby(blocks, key=lambda block: block.kind)]


def _drawing() -> Callable[[Picture], InlineSvg]:
    """A function that draws pictures, each with names of its own inside the page."""
    from prunecli.reports.pictures import encoded

    numbers = count(1)

    def draw(picture: Picture) -> InlineSvg:
        drawn = picture.draw()
        data = drawn.encode("utf-8") if isinstance(drawn, str) else encoded(drawn, "svg")
        return inline_svg(data, name=f"picture{next(numbers)}", alternative=picture.alternative)

    return draw


def _text(name: str) -> str:
    return (resources.files(__package__) / _TEMPLATES / name).read_text(encoding="utf-8")
