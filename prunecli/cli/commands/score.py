"""prunecli score."""

from __future__ import annotations

from typing import Annotated

from prunecli.cli import options, streams
from prunecli.cli.gathering import CalibrationImages, Drawing, Manner, Subject
from prunecli.cli.option import RESULT, option
from prunecli.cli.pages import score as pages
from prunecli.cli.presenting import present
from prunecli.cli.values import Names, flat

EXAMPLES = """
prunecli score model.safetensors --criteria l1,l2,fpgm
prunecli score model.safetensors --criterion l2 --format csv
prunecli score model.safetensors --criteria taylor,apoz --data images/ --batches 8 --save scores.safetensors
"""
_CRITERIA = [Names(("l1", "l2", "fpgm"))]
_SAVE = option(
    "--save",
    help="Keep the scores in a file, for compare and prune to take by --scores.",
    metavar="FILE",
    parse=streams.file_name,
    section=RESULT,
)


def score(
    subject: Subject,
    *,
    manner: Manner,
    images: CalibrationImages,
    drawing: Drawing,
    criteria: options.Criteria = _CRITERIA,
    scope: options.Scope = "local",
    seed: options.Seed = 0,
    stream: options.Stream = None,
    save: Annotated[str | None, _SAVE] = None,
    force: options.Force = False,
) -> None:
    """Score every filter and every channel group; higher means keep, for every criterion."""
    from prunecli.workflows.score import score as work

    present(
        "score",
        lambda progress: work(
            subject.opening(),
            criteria=flat(criteria),
            scope=scope,
            seed=seed,
            calibration=images.calibration(),
            save=save,
            stream=stream,
            force=force,
            keep=drawing.keepsakes(force=force),
            progress=progress,
        ),
        pages=pages,
        manner=manner,
        following=pages.following,
    )
