"""The sections on scores: how they are spread in every layer, and how criteria rank the filters of one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np

from prunecli.reports import pictures
from prunecli.reports.cells import Cell
from prunecli.reports.sections import Block, Column, Fold, Given, Picture, Table, Words

OPEN_PICTURES = 12
"""So many distributions stand open; those of further criteria are folded."""
DRAWN_CRITERIA = 8
"""At most so many criteria are drawn against each other: more panels are slow to draw and hard to read."""


def distributions(given: Given) -> Sequence[Block]:
    """The scores of every layer's filters by every criterion, as pictures and in numbers."""
    document = given.document
    if not document["layers"]:
        return ()
    drawable = {**document, "layers": [{**layer, "scores": _finite(layer)} for layer in document["layers"]]}
    drawn = [
        Picture(
            f"Boxes of the scores of every layer by {name}",
            partial(pictures.score_distributions, {**drawable, "criteria": [name]}),
        )
        for name in document["criteria"]
    ]
    folded = drawn[OPEN_PICTURES:]
    return (
        Words(
            "The scores of each layer's filters, divided by the mean of their absolute values. Higher "
            "means keep. A box that is a line is a criterion that cannot tell the filters of that layer "
            "apart."
        ),
        *drawn[:OPEN_PICTURES],
        *([Fold(f"{len(folded)} more criteria", folded)] if folded else []),
        Fold(
            "Every layer in numbers", [_summary("Scores of filters", "layer", "filters", document["layers"])]
        ),
    )


def groups(given: Given) -> Sequence[Block]:
    """The scores of channel groups, in numbers."""
    found = given.document["groups"]
    if not found:
        return ()
    return (
        Words(
            "What must leave together is one group; its scores are those of the filters that make each "
            "channel, brought together."
        ),
        Fold("Every group in numbers", [_summary("Scores of channel groups", "group", "channels", found)]),
    )


def ranks(given: Given) -> Sequence[Block]:
    """Every criterion against every other one, in the layer where they agree least."""
    document = given.document
    layer = most_disputed(document["layers"])
    if layer is None:
        return ()
    known = _known(layer)
    drawn = dict(list(known.items())[:DRAWN_CRITERIA])
    picture = {**document, "layers": [{**layer, "scores": drawn}]}
    words = (
        f"{layer['name']} is where the criteria agree least. A point is a filter, placed by its rank under "
        "the criterion below and the one to the left; two that rank alike make a line. On the diagonal, "
        "the scores themselves."
    )
    if len(drawn) < len(known):
        words += f" Drawn are the first {len(drawn)} of {len(known)} criteria."
    return (
        Words(words),
        Picture(
            f"Ranks of the filters of {layer['name']} by each criterion against each other one",
            partial(pictures.rank_pictures, picture, layer["name"]),
        ),
    )


def most_disputed(layers: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The layer whose criteria correlate least on average, of these the one with most filters.

    None when no layer has two criteria that correlate at all.
    """
    found = [(_mean_correlation(_known(layer)), layer) for layer in layers]
    # Sums of the same correlations in another order differ in their last digits.
    known = [(round(correlation, 9), layer) for correlation, layer in found if correlation is not None]
    return min(known, key=lambda each: (each[0], -each[1]["filters"]), default=(None, None))[1]


def _known(layer: Mapping[str, Any]) -> dict[str, Sequence[float]]:
    return {name: scores for name, scores in _finite(layer).items() if scores}


def _finite(layer: Mapping[str, Any]) -> dict[str, Sequence[float] | None]:
    """The scores of a layer; None where any is undefined: there is no ranking then, and nothing to draw."""
    return {
        name: None if scores is None or None in scores else scores for name, scores in layer["scores"].items()
    }


def _mean_correlation(scores: Mapping[str, Sequence[float]]) -> float | None:
    """Mean Spearman over the pairs of criteria where it is defined."""
    from scipy.stats import rankdata

    ranked = [rankdata(np.asarray(values, dtype=np.float64)) for values in scores.values()]
    varied = [ranks for ranks in ranked if np.ptp(ranks) > 0]
    found = [float(np.corrcoef(a, b)[0, 1]) for a, b in combinations(varied, 2)]
    return sum(found) / len(found) if found else None


def _summary(caption: str, word: str, size: str, places: Sequence[Mapping[str, Any]]) -> Table:
    rows: list[list[Cell]] = [
        [place["name"], place[size], criterion, *_spread(values)]
        for place in places
        for criterion, values in place["scores"].items()
    ]
    columns = [Column(word, typed=True), Column(size, numeric=True), Column("criterion", typed=True)]
    columns += [Column(title, numeric=True) for title in ("least", "mean", "greatest", "CV")]
    return Table(caption, columns, rows)


def _spread(values: Sequence[float | None] | None) -> tuple[Cell, ...]:
    """Least, mean, greatest, and standard deviation ÷ |mean|."""
    known = [value for value in values or () if value is not None and math.isfinite(value)]
    if not known:
        return (None,) * 4
    mean = math.fsum(known) / len(known)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / len(known))
    return (min(known), mean, max(known), deviation / abs(mean) if mean else None)
