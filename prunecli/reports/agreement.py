"""The sections on how criteria agree: pictures, pair by pair, over the network, and with themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from prunecli.reports import pictures
from prunecli.reports.cells import Cell, Interval
from prunecli.reports.sections import Block, Column, Document, Fold, Given, Picture, Table, Words, numeric

Pair = Mapping[str, Any]
_PAIR = (Column("criterion", typed=True), Column("and", typed=True))


def heatmaps(given: Given) -> Sequence[Block]:
    """Criteria against criteria: Spearman, then Jaccard at each ratio; the same numbers as tables behind."""
    document = given.document
    if not document["pairs"]:
        return ()
    ratios = _ratios(document)
    panels = [("spearman", "Spearman, mean over layers")]
    panels += [(ratio, f"Jaccard of what goes at {ratio}") for ratio in ratios]
    return (
        Words(
            "How alike any two criteria rank the filters of a layer (Spearman), and how much of what one "
            "of them removes the other removes too (Jaccard). Criteria that rank alike stand together."
        ),
        *(
            Picture(
                f"Heatmap of criteria against criteria: {title}",
                partial(pictures.agreement_heatmaps, document, panels=(panel,)),
            )
            for panel, title in panels
        ),
        Fold("The same as tables", [_matrix(document, panel, title) for panel, title in panels]),
    )


def pairs(given: Given) -> Sequence[Block]:
    """Every pair inside layers, averaged over layers; behind it, where the criteria agree least."""
    document = given.document
    found = document["pairs"]
    if not found:
        return ()
    ratios = _ratios(document)
    bounded = any(_bounds(pair, "spearman") for pair in found)
    columns = [*_PAIR, numeric("Spearman"), *([numeric("95 % of resampled layers")] if bounded else [])]
    rows: list[list[Cell]] = [
        [
            pair["a"],
            pair["b"],
            pair.get("spearman"),
            *([_bounds(pair, "spearman")] if bounded else []),
            *_figures(pair, ratios, found),
        ]
        for pair in found
    ]
    table = Table("Agreement inside layers, mean over layers", [*columns, *_rest(ratios, found)], rows)
    layers = _layer_table(document)
    return (
        Words(
            "1 is the same order, 0 none in common, −1 the reverse. Undefined (–) is what has no answer, "
            "such as a correlation with scores that are all equal."
        ),
        table,
        *([Fold("Layer by layer: where the criteria agree least", [layers])] if layers.rows else []),
    )


def network(given: Given) -> Sequence[Block]:
    """Every pair over one ranking of all filters, by how layers' scores were brought onto one scale."""
    document = given.document
    ways = document.get("global_by_normalization") or [
        {"normalization": "none", "pairs": document.get("global") or ()}
    ]
    names = [way["normalization"] for way in ways]
    if not any(way["pairs"] for way in ways):
        return ()
    blocks: list[Block] = [
        Words(
            "One ranking of all filters of all layers. The columns say what a layer's scores are divided "
            "by first; none leaves them as they are. Criteria that agree inside layers can part here, for "
            "the scale decides which layers lose."
        ),
        _by_way("Spearman over the network", ways, names, lambda pair: pair.get("spearman")),
    ]
    folded: list[Block] = [
        _by_way(f"Jaccard over the network at {ratio}", ways, names, _jaccard_at(ratio))
        for ratio in _ratios(document)
    ]
    folded += [
        _by_way("Kendall over the network", ways, names, lambda pair: pair.get("kendall")),
        _by_way("Rank-biased overlap over the network", ways, names, lambda pair: pair.get("rbo")),
    ]
    folded = [table for table in folded if isinstance(table, Table) and _has_numbers(table)]
    if folded:
        blocks.append(Fold("What goes, and the other figures", folded))
    left_out = {way["normalization"]: way.get("left_out") or () for way in ways}
    blocks += [
        Words(f"{name} leaves out layers without a scale for it: {', '.join(layers)}.")
        for name, layers in left_out.items()
        if layers
    ]
    return blocks


def noise(given: Given) -> Sequence[Block]:
    """Each criterion against itself, scored again."""
    document = given.document
    found = document["noise"]
    ratios = _ratios(document)
    rows: list[list[Cell]] = []
    for one in found:
        # What is exact agrees with itself wherever it has a ranking.
        least = {} if one["exact"] else _least(one.get("layers") or ())
        rows.append(
            [
                one["criterion"],
                one["exact"],
                one.get("spearman"),
                *_figures(one, ratios, found),
                least.get("spearman"),
                least.get("name"),
            ]
        )
    columns = [
        Column("criterion", typed=True),
        Column("exact"),
        numeric("Spearman"),
        *_rest(ratios, found),
        numeric("least Spearman"),
        Column("in layer", typed=True),
    ]
    if not rows:
        return ()
    return (
        Words(
            "Each criterion against itself, scored again on other images and with another seed. Two "
            "criteria that differ no more than this have not been told apart. Exact: nothing of that has "
            "a part in the score."
        ),
        Table("Agreement of each criterion with itself", columns, rows),
    )


def _by_way(caption: str, ways: Sequence[Mapping[str, Any]], names: Sequence[str], figure: Any) -> Table:
    rows: dict[tuple[str, str], list[Cell]] = {}
    for place, way in enumerate(ways):
        for pair in way["pairs"]:
            row = rows.setdefault((pair["a"], pair["b"]), [None] * len(names))
            row[place] = figure(pair)
    columns = [*_PAIR, *(numeric(name) for name in names)]
    return Table(caption, columns, [[*names, *figures] for names, figures in rows.items()])


def _has_numbers(table: Table) -> bool:
    return any(cell is not None for row in table.rows for cell in row[len(_PAIR) :])


def _matrix(document: Document, panel: str, title: str) -> Table:
    figure = (lambda pair: pair["spearman"]) if panel == "spearman" else _jaccard_at(panel)
    found: dict[frozenset[str], Cell] = {
        frozenset((pair["a"], pair["b"])): figure(pair) for pair in document["pairs"]
    }
    criteria = document["criteria"]
    columns = [
        Column("criterion", typed=True),
        *(Column(name, numeric=True, typed=True) for name in criteria),
    ]
    return Table(
        title,
        columns,
        [[a, *(1 if a == b else found.get(frozenset((a, b))) for b in criteria)] for a in criteria],
    )


def _layer_table(document: Document) -> Table:
    """One row a layer: the mean over pairs, and the pair that agrees least."""
    ratios = _ratios(document)
    layers: dict[str, list[Pair]] = {}
    for pair in document["pairs"]:
        for layer in pair.get("layers") or ():
            layers.setdefault(layer["name"], []).append({**layer, "pair": f"{pair['a']} – {pair['b']}"})
    rows: list[list[Cell]] = []
    for name, found in layers.items():
        least = _least(found)
        shares = [_mean(_jaccard_at(ratio)(one) for one in found) for ratio in ratios]
        rows.append(
            [
                name,
                _mean(one.get("spearman") for one in found),
                *shares,
                least.get("spearman"),
                least.get("pair"),
            ]
        )
    columns = [
        Column("layer", typed=True),
        numeric("mean Spearman"),
        *(numeric(f"mean Jaccard {ratio}") for ratio in ratios),
        numeric("least Spearman"),
        Column("of", typed=True),
    ]
    return Table("Each layer, over all pairs", columns, rows)


def _least(found: Iterable[Pair]) -> Pair:
    """The one with the least Spearman; empty when none has one."""
    known = [one for one in found if one.get("spearman") is not None]
    return min(known, key=lambda one: float(one["spearman"]), default={})


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _figures(one: Pair, ratios: Sequence[str], all_of_them: Sequence[Pair]) -> list[Cell]:
    """Kendall, overlap where any of them has one, and Jaccard at each ratio."""
    overlap = [one.get("rbo")] if _have_overlap(all_of_them) else []
    return [one.get("kendall"), *overlap, *(_jaccard_at(ratio)(one) for ratio in ratios)]


def _rest(ratios: Sequence[str], all_of_them: Sequence[Pair]) -> list[Column]:
    overlap = [numeric("rank-biased overlap")] if _have_overlap(all_of_them) else []
    return [numeric("Kendall"), *overlap, *(numeric(f"Jaccard {ratio}") for ratio in ratios)]


def _have_overlap(found: Sequence[Pair]) -> bool:
    return any("rbo" in one for one in found)


def _bounds(pair: Pair, figure: str) -> Interval | None:
    bounds = (pair.get("interval") or {}).get(figure)
    return Interval(*bounds) if bounds else None


def _ratios(document: Document) -> list[str]:
    return [str(ratio) for ratio in document["ratios"]]


def _jaccard_at(ratio: str) -> Any:
    return lambda one: (one.get("jaccard") or {}).get(ratio)
