"""The sections of a comparison beside agreement: contrast, what goes first, weight tests, damage, gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prunecli.reports.cells import Cell, Status, as_given, gained
from prunecli.reports.sections import Block, Column, Document, Fold, Given, Table, Words, numeric

_CRITERION = Column("criterion", typed=True)
_LAYER = Column("layer", typed=True)


def applicability(given: Given) -> Sequence[Block]:
    """Whether each criterion can tell filters apart."""
    found = given.document["applicability"]
    if not found:
        return ()
    rows: list[list[Cell]] = []
    for one in found:
        least: Mapping[str, Any] = min(
            (layer for layer in one["layers"] if layer.get("cv") is not None),
            key=lambda layer: float(layer["cv"]),
            default={},
        )
        gaps = [layer["gap"] for layer in one["layers"] if layer.get("gap") is not None]
        gap = sum(gaps) / len(gaps) if gaps else None
        rows.append([one["criterion"], one.get("cv"), gap, least.get("cv"), least.get("name")])
    columns = [
        _CRITERION,
        numeric("CV"),
        numeric("mean gap"),
        numeric("least CV"),
        Column("in layer", typed=True),
    ]
    return (
        Words(
            "CV is the standard deviation of a layer's scores ÷ their mean, averaged over layers; the gap "
            f"is the step between what stays and what goes at {given.document['ratios'][0]}, ÷ the mean. A "
            "score that hardly varies tells little."
        ),
        Table("Contrast of each criterion", columns, rows),
        Fold("CV of every layer", [_by_layer("CV of every layer", found, "cv")]),
        Fold("Gap of every layer", [_by_layer("Gap of every layer", found, "gap")]),
    )


def first_pruned(given: Given) -> Sequence[Block]:
    """The filters that would go first, layer by layer."""
    criteria = given.document["criteria"]
    rows: list[list[Cell]] = [
        [place["layer"], *(_indices(place["indices"].get(name)) for name in criteria)]
        for place in given.document["first_pruned"]
    ]
    columns = [_LAYER, *(Column(name, typed=True, sortable=False) for name in criteria)]
    if not any(cell for row in rows for cell in row[1:]):
        return ()
    return (
        Words("Indices in the order in which they would go, the first one first."),
        Table("Filters that would go first", columns, rows),
    )


def weights(given: Given) -> Sequence[Block]:
    """The tests of the weight-distribution assumption."""
    found = given.document["cwda"]
    rows: list[list[Cell]] = [
        [
            one["name"],
            _verdict(one["verdict"]),
            one.get("filters"),
            one.get("dimension"),
            one.get("normal_share"),
            one.get("mean_over_std"),
            one.get("variance_cv"),
            one.get("variance_cv_expected"),
            one.get("variance_cv_excess"),
            one.get("skew"),
            one.get("abs_skew"),
            one.get("excess_kurtosis"),
        ]
        for one in found
    ]
    titles = (
        "filters",
        "weights each",
        "share normal",
        "|μ|/σ",
        "CV of variances",
        "by sampling alone",
        "beyond sampling",
        "skew",
        "|skew|",
        "excess kurtosis",
    )
    if not rows:
        return ()
    return (
        Words(
            "Where the filters of a layer are Gaussian-alike, norms and distances must rank them alike "
            "and hardly tell them apart (Huang et al. 2021, arXiv:2004.11627). Tested: the weights are "
            "normal, every coordinate has about the same variance, the mean is near zero."
        ),
        Table("The weight-distribution assumption", [_LAYER, Column("verdict"), *map(numeric, titles)], rows),
    )


def judgement(given: Given) -> Sequence[Block]:
    """The damage of each criterion at each ratio, without training, and what the oracle had to say of it."""
    document = given.document
    found = document["judgement"]
    before = document.get("judgement_before") or {}
    rows: list[list[Cell]] = [
        [
            one["criterion"],
            as_given(cut["ratio"]),
            cut.get("loss"),
            cut.get("accuracy"),
            gained(cut.get("accuracy"), before.get("accuracy")),
            cut.get("output_error"),
            cut.get("params"),
            cut.get("macs"),
        ]
        for one in found
        for cut in one["cuts"]
    ]
    if not rows:
        return ()
    if before:
        rows.insert(0, ["before any cut", None, before.get("loss"), before.get("accuracy"), *[None] * 4])
    titles = (
        "ratio",
        "loss",
        "accuracy, %",
        "points lost",
        "output error",
        "parameters",
        "MACs",
    )
    images = before.get("images")
    of = f"{images:,} images" if images else "images"
    return (
        Words(
            "The network cut once by each criterion at each ratio, without any training, and measured on "
            f"{of} that no criterion saw. Output error is the relative error of the layers' outputs."
        ),
        Table("Damage of one cut", [_CRITERION, *map(numeric, titles)], rows),
        *_oracle(document),
    )


def gates(given: Given) -> Sequence[Block]:
    """What the command line demanded, pair by pair, what was missed first."""
    rows: list[list[Cell]] = [
        [
            Status("met" if one["met"] else "missed", good=one["met"]),
            one["metric"],
            as_given(one.get("ratio")),
            one["a"],
            one["b"],
            one.get("value"),
            as_given(one["limit"]),
        ]
        for one in sorted(given.document["gates"], key=lambda one: bool(one["met"]))
    ]
    columns = [
        Column("gate"),
        Column("metric"),
        numeric("at ratio"),
        Column("criterion", typed=True),
        Column("and", typed=True),
        numeric("value"),
        numeric("at most"),
    ]
    return (Table("Limits on agreement", columns, rows),) if rows else ()


def _oracle(document: Document) -> tuple[Block, ...]:
    """How far each criterion agrees with the one that tries every filter, and what that foretells."""
    rows: list[list[Cell]] = [[one["criterion"], one.get("oracle_spearman")] for one in document["judgement"]]
    if all(spearman is None for _, spearman in rows):
        return ()
    table = Table("Agreement with the oracle", [_CRITERION, numeric("Spearman, mean over layers")], rows)
    foretold: list[list[Cell]] = [
        [as_given(one["ratio"]), one.get("spearman")] for one in document.get("oracle_foretells") or ()
    ]
    if all(spearman is None for _, spearman in foretold):
        return (table,)
    return (
        table,
        Words(
            "What that agreement foretells: over the criteria, the rank correlation of agreement with the "
            "oracle and of little loss after the cut. 1: whoever agrees more with the oracle does less "
            "damage."
        ),
        Table("What the oracle foretells", [numeric("ratio"), numeric("Spearman")], foretold),
    )


def _verdict(words: str) -> Status:
    """Holds, fails, or neither where the assumption does not speak of the layer or could not be tested."""
    neither = words.startswith("outside") or words == "no test"
    return Status(words, good=None if neither else words == "holds")


def _by_layer(caption: str, found: Sequence[Mapping[str, Any]], figure: str) -> Table:
    rows: dict[str, list[Cell]] = {}
    for place, one in enumerate(found):
        for layer in one["layers"]:
            row = rows.setdefault(layer["name"], [None] * len(found))
            row[place] = layer.get(figure)
    columns = [_LAYER, *(Column(one["criterion"], numeric=True, typed=True) for one in found)]
    return Table(caption, columns, [[name, *figures] for name, figures in rows.items()])


def _indices(found: Sequence[int] | None) -> str | None:
    return " ".join(map(str, found)) if found else None
