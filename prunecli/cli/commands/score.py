"""prunecli score."""

from __future__ import annotations

from prunecli.cli import options
from prunecli.cli.gathering import Manner, Subject
from prunecli.cli.pages import score as pages
from prunecli.cli.presenting import present
from prunecli.cli.values import Names, flat

EXAMPLES = """
prunecli score model.safetensors --criteria l1,l2,fpgm
prunecli score model.safetensors --criterion l2 --format csv
"""
_CRITERIA = [Names(("l1", "l2", "fpgm"))]


def score(
    subject: Subject,
    *,
    manner: Manner,
    criteria: options.Criteria = _CRITERIA,
    scope: options.Scope = "local",
    seed: options.Seed = 0,
) -> None:
    """Score every filter and every channel group; higher means keep, for every criterion."""
    from prunecli.workflows.score import score as work

    present(
        "score",
        lambda _: work(subject.opening(), criteria=flat(criteria), scope=scope, seed=seed),
        pages=pages,
        manner=manner,
    )
