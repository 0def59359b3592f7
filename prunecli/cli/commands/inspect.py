"""prunecli inspect."""

from __future__ import annotations

from prunecli.cli.gathering import Manner, Subject
from prunecli.cli.pages import inspect as pages
from prunecli.cli.presenting import present

EXAMPLES = """
prunecli inspect model.safetensors
prunecli inspect model.pth --arch cifar/resnet20 --format json
"""


def inspect(subject: Subject, *, manner: Manner) -> None:
    """Show what is in a checkpoint: architecture, cost, and what can be pruned."""
    from prunecli.workflows.inspect import inspect as work

    present("inspect", lambda _: work(subject.opening()), pages=pages, manner=manner)
