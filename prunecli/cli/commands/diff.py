"""prunecli diff."""

from __future__ import annotations

from typing import Annotated

from prunecli.cli.gathering import Manner, Subjects
from prunecli.cli.option import RESULT, option
from prunecli.cli.pages import diff as pages
from prunecli.cli.presenting import present
from prunecli.errors import WrongUse

EXAMPLES = """
prunecli diff model.pth small.safetensors
prunecli diff small.safetensors tuned.safetensors --json
prunecli diff small.safetensors again.safetensors --exit-code
"""

_EXIT_CODE = option("--exit-code", help="Exit 1 when the tensors differ in any bit.", section=RESULT)


def diff(subjects: Subjects, *, manner: Manner, exit_code: Annotated[bool, _EXIT_CODE] = False) -> None:
    """Show layer by layer what differs between two checkpoints."""
    openings = subjects.openings()
    if len(openings) != 2:
        raise WrongUse(
            f"diff compares two checkpoints, not {len(subjects.checkpoint or ())}",
            hints=["for example: prunecli diff model.pth small.safetensors"],
        )
    from prunecli.workflows.diff import diff as work

    present(
        "diff",
        lambda progress: work(*openings, must_equal=exit_code, progress=progress),
        pages=pages,
        manner=manner,
    )
