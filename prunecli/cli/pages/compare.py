"""How a comparison is read: agreement pair by pair and over the model, and what would go first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.suggesting import command
from prunecli.cli.tables import Column, Page, Table, name, number

MOST_IN_A_LIST = 6
"""More criteria than that are shown as a matrix, not pair by pair."""


def page(document: Mapping[str, Any]) -> Page:
    """Agreement inside layers and over all layers, how sure it is, what it comes to, and in words."""
    crowd = len(document["criteria"]) > MOST_IN_A_LIST
    return (
        *(_matrices(document) if crowd else (_pairs(document),)),
        *(() if crowd else (_global(document),)),
        _by_normalization(document),
        _noise(document),
        _applicability(document),
        _cwda(document),
        _judgement(document),
        _first(document),
        _gates(document),
        _remarks(document),
    )


def following(document: Mapping[str, Any]) -> str | None:
    """The next command: judge the criteria by what their cuts do, or prune by the one that does the least."""
    cuts = [
        (cut["loss"], -cut["ratio"], one["criterion"], cut["ratio"])
        for one in document.get("judgement") or ()
        for cut in one["cuts"]
        if cut.get("loss") is not None
    ]
    if not cuts:
        return "the same with --judge shows whose cuts do the least damage"
    largest = max(ratio for *_, ratio in cuts)
    _, _, criterion, ratio = min(each for each in cuts if each[-1] == largest)
    path = (document.get("checkpoint") or {}).get("path")
    return command("prune", path, "--criterion", criterion, "--ratio", f"{ratio:g}")


def flat(document: Mapping[str, Any]) -> Table:
    """One row for each pair and layer; an empty layer is the mean over the layers."""
    rows = []
    for pair in document["pairs"]:
        for place in ({**pair, "name": None}, *pair["layers"]):
            agreed = (
                place.get("spearman"),
                place.get("kendall"),
                place.get("rbo"),
                *_jaccard(place, document),
            )
            rows.append((pair["a"], pair["b"], place["name"], *agreed))
    columns = (
        name("a"),
        name("b"),
        name("layer"),
        number("spearman"),
        number("kendall"),
        number("rbo"),
        *_ratios(document),
    )
    return Table(columns=columns, rows=tuple(rows))


def _pairs(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            pair["a"],
            pair["b"],
            pair["spearman"],
            (pair.get("interval") or {}).get("spearman"),
            pair["kendall"],
            pair.get("rbo"),
            *_jaccard(pair, document),
        )
        for pair in document["pairs"]
    )
    columns = (
        name("a"),
        name("b"),
        number("Spearman", figures.decimal),
        number("95 %", _interval),
        number("Kendall", figures.decimal),
        number("RBO", figures.decimal),
        *_ratios(document),
    )
    return Table(columns=columns, rows=rows, title="Agreement inside layers (mean over layers)")


def _matrices(document: Mapping[str, Any]) -> tuple[Table, ...]:
    """Criteria against criteria, one table a figure, the columns by number."""
    pairs = document["pairs"]
    tables = [_matrix(document, "Spearman inside layers (mean over layers)", lambda pair: pair["spearman"])]
    for ratio in document["ratios"]:
        title = f"Jaccard of what goes at {ratio} (mean over layers)"
        tables.append(_matrix(document, title, lambda pair, at=str(ratio): pair["jaccard"].get(at)))
    return tuple(tables) if pairs else ()


def _matrix(document: Mapping[str, Any], title: str, figure: Callable[..., float | None]) -> Table:
    criteria = document["criteria"]
    known = {(pair["a"], pair["b"]): figure(pair) for pair in document["pairs"]}
    rows = tuple(
        (
            index + 1,
            row,
            *(
                1.0 if row == column else known.get((row, column), known.get((column, row)))
                for column in criteria
            ),
        )
        for index, row in enumerate(criteria)
    )
    numbered = tuple(number(str(index + 1), _hundredths) for index in range(len(criteria)))
    return Table(columns=(number(""), name("criterion"), *numbered), rows=rows, title=title)


def _global(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (pair["a"], pair["b"], pair["spearman"], *_jaccard(pair, document))
        for pair in document.get("global") or ()
    )
    columns = (name("a"), name("b"), number("Spearman", figures.decimal), *_ratios(document))
    return Table(columns=columns, rows=rows, title="Agreement over all layers together")


def _by_normalization(document: Mapping[str, Any]) -> Table:
    """Spearman over all layers in one list, one column a normalization."""
    entries = document.get("global_by_normalization") or ()
    if not entries or len(document["criteria"]) > MOST_IN_A_LIST:
        return Table(columns=(name("a"),), rows=())
    rows = tuple(
        (of_pair[0]["a"], of_pair[0]["b"], *(pair["spearman"] for pair in of_pair))
        for of_pair in zip(*(entry["pairs"] for entry in entries), strict=True)
    )
    scales = tuple(number(entry["normalization"], figures.decimal) for entry in entries)
    return Table(
        columns=(name("a"), name("b"), *scales),
        rows=rows,
        title="Spearman over all layers together, by what scores are divided by",
    )


def _noise(document: Mapping[str, Any]) -> Table:
    """Criteria that other images or another seed change, against themselves."""
    rows = tuple(
        (one["criterion"], one["spearman"], one["kendall"], one["rbo"], *_jaccard(one, document))
        for one in document.get("noise") or ()
        if not one["exact"]
    )
    columns = (
        name("criterion"),
        number("Spearman", figures.decimal),
        number("Kendall", figures.decimal),
        number("RBO", figures.decimal),
        *_ratios(document),
    )
    return Table(columns=columns, rows=rows, title="Noise floor: against itself on other images and seed")


def _cwda(document: Mapping[str, Any]) -> Table:
    shown = (
        "filters",
        "dimension",
        "normal_share",
        "mean_over_std",
        "variance_cv",
        "skew",
        "excess_kurtosis",
    )
    rows = tuple(
        (one["name"], *(one.get(key) for key in shown), one["verdict"]) for one in document.get("cwda") or ()
    )
    columns = (
        name("layer"),
        number("filters"),
        number("weights"),
        number("normal", figures.share),
        number("|mean|/std", figures.decimal),
        number("variance CV", figures.decimal),
        number("skew", figures.decimal),
        number("kurtosis", figures.decimal),
        name("verdict"),
    )
    return Table(columns=columns, rows=rows, title="Convolutional weight distribution assumption")


def _judgement(document: Mapping[str, Any]) -> Table:
    before = document.get("judgement_before") or {}
    rows = [("(whole)", None, 0.0, before["loss"], before["accuracy"], None, None)] if before else []
    rows += [
        (
            one["criterion"],
            one["oracle_spearman"],
            cut["ratio"],
            cut["loss"],
            cut["accuracy"],
            cut["output_error"],
            cut["macs"],
        )
        for one in document.get("judgement") or ()
        for cut in one["cuts"]
    ]
    columns = (
        name("criterion"),
        number("Spearman with oracle", figures.decimal),
        number("ratio"),
        number("loss", figures.decimal),
        number("accuracy", figures.percentage),
        number("output error", figures.decimal),
        number("MACs", figures.count),
    )
    title = f"One-shot damage on {before.get('images')} held-out images"
    return Table(columns=columns, rows=tuple(rows), title=title)


def _gates(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (gate["metric"], gate["a"], gate["b"], gate["value"], gate["limit"], gate["met"])
        for gate in document.get("gates") or ()
    )
    columns = (
        name("gate"),
        name("a"),
        name("b"),
        number("value", figures.decimal),
        number("limit"),
        name("met"),
    )
    return Table(columns=columns, rows=rows, title="Gates")


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


def _interval(bounds: Any) -> str:
    """Low and high of an interval; nothing known as a dash."""
    if not bounds:
        return figures.UNKNOWN
    return " … ".join(_hundredths(bound) for bound in bounds)


def _hundredths(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else figures.text(value)


def _ratios(document: Mapping[str, Any]) -> tuple[Column, ...]:
    return tuple(number(f"Jaccard {ratio}", figures.decimal) for ratio in document["ratios"])


def _jaccard(place: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[float | None, ...]:
    overlaps = place.get("jaccard") or {}
    return tuple(overlaps.get(str(ratio)) for ratio in document["ratios"])
