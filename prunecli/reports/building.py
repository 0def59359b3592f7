"""Which sections each command's report has, and the building of them from the command's document.

A further command is one more list in `PARTS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prunecli.reports import (
    agreement,
    channel_graph,
    front,
    inspection,
    latency,
    pruning,
    scores,
    sensitivity,
    subject,
    training,
    verdicts,
)
from prunecli.reports.cells import printable
from prunecli.reports.sections import Document, Given, Part, Section

PARTS: Mapping[str, tuple[Part, ...]] = {
    "inspect": (
        inspection.WHAT,
        inspection.COSTS,
        channel_graph.STAYING,
        inspection.WIDTHS,
        channel_graph.GRAPH,
        inspection.PROBLEMS,
        subject.ENVIRONMENT,
        subject.REPEAT,
    ),
    "compare": (
        subject.ASKED,
        subject.REMARKS,
        Part("gates", "Gates", verdicts.gates, key="gates"),
        Part("agreement", "Agreement at a glance", agreement.heatmaps, key="pairs"),
        Part("pairs", "Pairs of criteria", agreement.pairs, key="pairs"),
        Part("network", "Over the whole network", agreement.network, key="global"),
        Part("noise", "Noise floor", agreement.noise, key="noise"),
        Part("applicability", "Applicability", verdicts.applicability, key="applicability"),
        Part("first", "What would go first", verdicts.first_pruned, key="first_pruned"),
        Part("weights", "Distribution of the weights", verdicts.weights, key="cwda"),
        Part("judgement", "Judged by the damage", verdicts.judgement, key="judgement"),
        subject.ENVIRONMENT,
        subject.REPEAT,
    ),
    "score": (
        subject.ASKED,
        subject.REMARKS,
        Part("distributions", "Distribution of the scores", scores.distributions, key="layers"),
        Part("ranks", "Ranks in one layer", scores.ranks, key="layers"),
        Part("groups", "Channel groups", scores.groups, key="groups"),
        channel_graph.GRAPH,
        subject.ENVIRONMENT,
        subject.REPEAT,
    ),
    "prune": (
        pruning.ASKED,
        pruning.IN_WORDS,
        pruning.BEFORE_AFTER,
        pruning.TARGET,
        pruning.CHANNELS,
        pruning.PROTECTED,
        channel_graph.GRAPH,
        pruning.COURSE,
        pruning.VERIFICATION,
        pruning.LOADING,
        subject.ENVIRONMENT,
        subject.REPEAT,
    ),
    "finetune": (
        training.ASKED,
        training.IN_WORDS,
        training.BEFORE_AFTER,
        training.COURSE,
        training.EPOCHS,
        training.LOADING,
        subject.ENVIRONMENT,
        subject.REPEAT,
    ),
    "sweep": (
        front.ASKED,
        front.IN_WORDS,
        front.FRONT,
        front.CHOSEN,
        front.TRIALS,
        subject.ENVIRONMENT,
        subject.REPEAT,
    ),
    "sensitivity": (
        sensitivity.ASKED,
        sensitivity.IN_WORDS,
        sensitivity.CURVES,
        sensitivity.HEATMAP,
        sensitivity.UNKNOWN,
        subject.ENVIRONMENT,
        subject.REPEAT,
    ),
    "bench": (
        latency.ASKED,
        latency.IN_WORDS,
        latency.FIGURES,
        latency.RATIOS,
        subject.ENVIRONMENT,
        subject.REPEAT,
    ),
}
"""Command → the parts of its report, in their order."""


@dataclass(frozen=True)
class Report:
    """A report in no format yet."""

    title: str
    sections: tuple[Section, ...]


def build_report(document: Document, *, command: str, facts: Mapping[str, str]) -> Report:
    """The report of a complete document, one that says in `schema` which command made it.

    Raises ValueError for a document that no report is made of.
    """
    kind = kind_of(document)
    given = Given(printable(document), printable(command), printable(facts))
    found = (part.section(given) for part in PARTS[kind])
    return Report(_title(kind, given.document), tuple(section for section in found if section is not None))


def kind_of(document: Document) -> str:
    """The command that made the document; raises ValueError for one without a report."""
    kind = str(document.get("schema", "")).removeprefix("prunecli.").partition("/")[0]
    if kind not in PARTS:
        raise ValueError(f"no report is made of {document.get('schema')!r}")
    return kind


def _title(kind: str, document: Document) -> str:
    checkpoint = document.get("checkpoint")
    place = checkpoint if isinstance(checkpoint, Mapping) else document.get("origin") or document
    path = place.get("path")
    return f"prunecli {kind}: {str(path).rpartition('/')[2]}" if path else f"prunecli {kind}"
