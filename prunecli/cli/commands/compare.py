"""prunecli compare."""

from __future__ import annotations

from typing import Annotated

from prunecli.cli import options
from prunecli.cli.gathering import Manner, Subject
from prunecli.cli.option import RESULT, option
from prunecli.cli.pages import compare as pages
from prunecli.cli.presenting import present
from prunecli.cli.values import Names, Numbers, flat, whole

EXAMPLES = """
prunecli compare model.safetensors --criteria l1,l2,fpgm --ratio 0.3,0.5
prunecli compare --criteria l1,l2 --format md
"""
_CRITERIA = [Names(("l1", "l2", "fpgm"))]
_RATIOS = [Numbers((0.3, 0.5))]
_TOP = option(
    "--top", help="Show the N filters that would go first.", metavar="N", parse=whole(0), section=RESULT
)


def compare(
    subject: Subject,
    *,
    manner: Manner,
    criteria: options.Criteria = _CRITERIA,
    ratio: options.Ratios = _RATIOS,
    seed: options.Seed = 0,
    top: Annotated[int, _TOP] = 8,
) -> None:
    """Compare criteria: how alike they rank filters, and which filters they would remove."""
    from prunecli.workflows.compare import compare as work

    present(
        "compare",
        lambda _: work(subject.opening(), criteria=flat(criteria), ratios=flat(ratio), seed=seed, top=top),
        pages=pages,
        manner=manner,
    )
