"""prunecli inspect."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from prunecli.cli import streams
from prunecli.cli.gathering import Manner, Subject, command_line
from prunecli.cli.inspect_options import Looking
from prunecli.cli.pages import inspect as pages
from prunecli.cli.presenting import present

if TYPE_CHECKING:
    from prunecli.workflows.inspect import Inspection

EXAMPLES = """
prunecli inspect model.safetensors
prunecli inspect model.pth --arch cifar/resnet20 --format json
prunecli inspect model.safetensors --graph text
prunecli inspect model.safetensors -o channels.svg --report model.html
"""


def inspect(subject: Subject, *, looking: Looking, manner: Manner) -> None:
    """Show what is in a checkpoint: architecture, cost, which channels can go, which not and why."""
    drawn, piped = looking.drawn, looking.piped
    looking.check_stdout(manner.format)
    from prunecli.reports.graphs.text import in_ascii
    from prunecli.workflows.inspect import inspect as work
    from prunecli.workflows.keeping import Keepsakes

    def drawing(found: Inspection) -> str | None:
        if not (piped and drawn):
            return None
        text = found.drawing(drawn)
        return text if streams.can_write(text, sys.stdout) else in_ascii(text)

    present(
        "inspect",
        lambda _: work(
            replace(subject.opening(), allow_nonfinite=looking.allow_nonfinite),
            graph=drawn,
            output=looking.output,
            widths=looking.widths,
            force=looking.force,
            keep=Keepsakes(report=looking.report, force=looking.force, command=command_line()),
        ),
        pages=pages,
        manner=manner,
        instead=drawing,
        following=pages.following,
    )
