"""How a comparison is read: agreement pair by pair and over the model, and what would go first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Column, Page, Table, name, number


def page(document: Mapping[str, Any]) -> Page:
    """Agreement inside layers, over all layers, applicability, first removed filters, remarks."""
    return (
        _pairs(document),
        _global(document),
        _applicability(document),
        _first(document),
        _remarks(document),
    )


def flat(document: Mapping[str, Any]) -> Table:
    """One row for each pair and layer; an empty layer is the mean over the layers."""
    rows = []
    for pair in document["pairs"]:
        for place in ({**pair, "name": None}, *pair["layers"]):
            agreed = (place.get("spearman"), place.get("kendall"), *_jaccard(place, document))
            rows.append((pair["a"], pair["b"], place["name"], *agreed))
    columns = (name("a"), name("b"), name("layer"), number("spearman"), number("kendall"), *_ratios(document))
    return Table(columns=columns, rows=tuple(rows))


def _pairs(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (pair["a"], pair["b"], pair["spearman"], pair["kendall"], *_jaccard(pair, document))
        for pair in document["pairs"]
    )
    columns = (
        name("a"),
        name("b"),
        number("Spearman", figures.decimal),
        number("Kendall", figures.decimal),
        *_ratios(document),
    )
    return Table(columns=columns, rows=rows, title="Agreement inside layers (mean over layers)")


def _global(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (pair["a"], pair["b"], pair["spearman"], *_jaccard(pair, document))
        for pair in document.get("global") or ()
    )
    columns = (name("a"), name("b"), number("Spearman", figures.decimal), *_ratios(document))
    return Table(columns=columns, rows=rows, title="Agreement over all layers together")


def _applicability(document: Mapping[str, Any]) -> Table:
    rows = []
    for entry in document.get("applicability") or ():
        layers = [layer for layer in entry["layers"] if layer.get("cv") is not None]
        least: Mapping[str, Any] = min(layers, key=lambda layer: float(layer["cv"]), default={})
        gaps = [layer["gap"] for layer in entry["layers"] if layer.get("gap") is not None]
        rows.append(
            (
                entry["criterion"],
                entry["cv"],
                sum(gaps) / len(gaps) if gaps else None,
                least.get("cv"),
                least.get("name"),
            )
        )
    columns = (
        name("criterion"),
        number("CV", figures.decimal),
        number("mean gap", figures.decimal),
        number("least CV", figures.decimal),
        name("in layer"),
    )
    return Table(
        columns=columns, rows=tuple(rows), title="Applicability (a score that hardly varies tells little)"
    )


def _first(document: Mapping[str, Any]) -> Table:
    """One row for each layer and criterion that is defined there."""
    rows = tuple(
        (place["layer"], criterion, " ".join(str(index) for index in indices))
        for place in document.get("first_pruned") or ()
        for criterion, indices in place["indices"].items()
        if indices is not None
    )
    columns = (name("layer"), name("criterion"), name("indices"))
    return Table(columns=columns, rows=rows, title="Filters that would go first")


def _remarks(document: Mapping[str, Any]) -> Table:
    rows = tuple((remark,) for remark in document.get("remarks") or ())
    return Table(columns=(name("remark"),), rows=rows, title="Remarks", header=False)


def _ratios(document: Mapping[str, Any]) -> tuple[Column, ...]:
    return tuple(number(f"Jaccard {ratio}", figures.decimal) for ratio in document["ratios"])


def _jaccard(place: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[float | None, ...]:
    overlaps = place.get("jaccard") or {}
    return tuple(overlaps.get(str(ratio)) for ratio in document["ratios"])
