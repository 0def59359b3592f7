"""prunecli sensitivity."""

from __future__ import annotations

from typing import Annotated

from prunecli.cli import options, streams
from prunecli.cli.gathering import CalibrationImages, Drawing, Manner, Subject
from prunecli.cli.option import PRUNING, RESULT, option
from prunecli.cli.pages import sensitivity as pages
from prunecli.cli.presenting import present
from prunecli.cli.pruning_options import Protect, Residual
from prunecli.cli.values import Numbers, flat
from prunecli.cli.values import ratios as several

EXAMPLES = """
prunecli sensitivity model.pth --data images/ --save sensitivity.json
prunecli sensitivity --ratio 0.25,0.5 --criterion fpgm --plot curves.png --report sensitivity.html
"""

_RATIOS = option(
    "--ratio",
    help="Fractions of each group to remove, with commas between them. Unsaid: 0.1,0.2 to 0.9.",
    metavar="R,R",
    parse=several,
    section=PRUNING,
)
_SAVE = option(
    "--save",
    help="Keep the figures in a file, group by group: the same command goes on from there, and prune takes "
    "them by --sensitivity.",
    metavar="FILE",
    parse=streams.file_name,
    section=RESULT,
)


def sensitivity(
    subject: Subject,
    *,
    images: CalibrationImages,
    drawing: Drawing,
    manner: Manner,
    criterion: options.Criterion = "l2",
    ratios: Annotated[list[Numbers] | None, _RATIOS] = None,
    residual: Residual = "coupled",
    protect: Protect = None,
    seed: options.Seed = 0,
    save: Annotated[str | None, _SAVE] = None,
    force: options.Force = False,
) -> None:
    """Measure what each channel group alone costs when it loses 10 to 90 % of its channels."""
    from prunecli.workflows.sensitivity import RATIOS
    from prunecli.workflows.sensitivity import sensitivity as work

    present(
        "sensitivity",
        lambda progress: work(
            subject.opening(),
            criterion=criterion,
            ratios=flat(ratios or ()) or RATIOS,
            calibration=images.calibration(),
            residual=residual,
            protect=tuple(protect or ()),
            seed=seed,
            save=save,
            force=force,
            keep=drawing.keepsakes(force=force),
            progress=progress,
        ),
        pages=pages,
        manner=manner,
        following=pages.following,
    )
