"""prunecli compare."""

from __future__ import annotations

from prunecli.cli import options
from prunecli.cli.comparing_options import Comparing, Keeping
from prunecli.cli.gathering import CalibrationImages, Manner, Subject
from prunecli.cli.pages import compare as pages
from prunecli.cli.presenting import present
from prunecli.cli.values import Numbers, flat

EXAMPLES = """
prunecli compare model.safetensors --criteria l1,l2,fpgm --ratio 0.3,0.5
prunecli compare --criteria l1,l2 --format md
prunecli compare model.pth --criteria l2,taylor,apoz --data images/ --judge --plot agreement.svg
prunecli compare model.pth --scores scores.safetensors --fail-above jaccard=0.9:l1,l2
"""
_RATIOS = [Numbers((0.3, 0.5))]


def compare(
    subject: Subject,
    *,
    manner: Manner,
    comparing: Comparing,
    images: CalibrationImages,
    keeping: Keeping,
    ratio: options.Ratios = _RATIOS,
) -> None:
    """Compare criteria: how alike they rank filters, and which filters they would remove."""
    from prunecli.workflows.compare import compare as work

    present(
        "compare",
        lambda progress: work(
            subject.opening(),
            **comparing.arguments(),
            ratios=flat(ratio),
            calibration=images.calibration(),
            top=keeping.top,
            fail_above=keeping.gates(),
            keep=keeping.keepsakes(),
            progress=progress,
        ),
        pages=pages,
        manner=manner,
        following=pages.following,
    )
