"""prunecli evaluate."""

from __future__ import annotations

from prunecli.cli import options
from prunecli.cli.gathering import Manner, Subject
from prunecli.cli.pages import evaluate as pages
from prunecli.cli.presenting import present

EXAMPLES = """
prunecli evaluate small.safetensors --data digits
prunecli evaluate model.pth --data images/ --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 --json
"""


def evaluate(
    subject: Subject,
    *,
    manner: Manner,
    data: options.Data = None,
    batch_size: options.BatchSize = 256,
    seed: options.Seed = 0,
    skip_bad_images: options.SkipBadImages = False,
) -> None:
    """Measure accuracy and loss on the test images."""
    from prunecli.workflows.evaluate import evaluate as work

    present(
        "evaluate",
        lambda progress: work(
            subject.opening(),
            data=data,
            batch_size=batch_size,
            seed=seed,
            skip_bad_images=skip_bad_images,
            progress=progress,
        ),
        pages=pages,
        manner=manner,
    )
