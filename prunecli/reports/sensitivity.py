"""What each group alone costs: curves over the ratios, a heatmap, and the sections of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from prunecli.reports.cells import Cell, gained
from prunecli.reports.sections import (
    Block,
    Column,
    Document,
    Facts,
    Given,
    Part,
    Picture,
    Remarks,
    Table,
    Words,
    numeric,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Group = Mapping[str, Any]

COLOURED = 8
"""So many of the most sensitive groups have a colour and a name among the curves."""
_COLOURS = ("#b3401f", "#1f5fa8", "#2e8b57", "#7a4fa3", "#c77c11", "#2aa1b3", "#9c3d54", "#6b6b2a")
_WORDS = {"accuracy": "accuracy, %", "loss": "loss"}


def sensitivity_picture(document: Document) -> Figure:
    """Curves of accuracy beside the heatmap of what is lost of it."""
    figure, (curves, heatmap) = _figure(document, widths=(6.0, 6.4))
    _curves(curves, document, "accuracy")
    _heatmap(heatmap, document)
    return figure


def curves_picture(document: Document, *, key: str) -> Figure:
    """`key` ("accuracy" or "loss") over the share of channels removed, a line a group."""
    figure, (axis,) = _figure(document, widths=(6.4,), height=4.0)
    _curves(axis, document, key)
    return figure


def heatmap_picture(document: Document) -> Figure:
    """Points of accuracy lost, a row a group and a column a ratio."""
    figure, (axis,) = _figure(document, widths=(6.4,))
    _heatmap(axis, document)
    return figure


def most_sensitive(document: Document) -> list[Group]:
    """The groups that were measured, the one that costs the most first."""
    measured = [group for group in document["groups"] if group["points"]]
    return sorted(measured, key=lambda group: -_damage(group))


def asked(given: Given) -> Sequence[Block]:
    """Criterion, images, ratios."""
    origin, before = given.document["origin"], given.document["before"]
    rows: list[tuple[str, Cell]] = [
        ("checkpoint", origin.get("path") or "the sample"),
        ("criterion", origin["criterion"]),
        ("data", origin["data"]),
        ("images", origin["images"]),
        ("ratios", ", ".join(map(str, origin["ratios"]))),
        ("accuracy of the whole network, %", before["accuracy"]),
        ("loss of the whole network", before["loss"]),
    ]
    return (Facts(rows),)


def in_words(given: Given) -> Sequence[Block]:
    """Which groups cost the most and the least."""
    groups = most_sensitive(given.document)
    if not groups:
        return ()
    whole = given.document["before"]["accuracy"]
    ends = [("costs the most", groups[0]), *([("costs the least", groups[-1])] if len(groups) > 1 else [])]
    lines = [
        f"{group['name']} {word}: without {100 * point['ratio']:.3g} % of its channels accuracy is "
        f"{point['accuracy']:.2f} %, {whole - point['accuracy']:.2f} points less."
        for word, group in ends
        for point in (_middle(group),)
    ]
    return (Remarks(lines),)


def curves(given: Given) -> Sequence[Block]:
    """Accuracy and loss as each group alone is cut."""
    document = given.document
    if not most_sensitive(document):
        return ()
    return (
        Words(
            "Each line is one group that loses channels while all others are whole. The most sensitive "
            "groups have a colour."
        ),
        *(
            Picture(f"{key} as each group alone is cut", partial(curves_picture, document, key=key))
            for key in _WORDS
        ),
    )


def heatmap(given: Given) -> Sequence[Block]:
    """What is lost by group and ratio, drawn and in numbers."""
    document = given.document
    groups, ratios = most_sensitive(document), document["origin"]["ratios"]
    if not groups:
        return ()
    whole = document["before"]["accuracy"]
    rows: list[list[Cell]] = []
    for group in groups:
        at = {point["ratio"]: point["accuracy"] for point in group["points"]}
        rows.append([group["name"], group["channels"], *(gained(at.get(ratio), whole) for ratio in ratios)])
    columns = [Column("group", typed=True), numeric("channels")]
    columns += [numeric(f"at {100 * ratio:.3g} %") for ratio in ratios]
    return (
        Picture(
            f"Points of accuracy lost, {len(groups)} groups by {len(ratios)} ratios",
            partial(heatmap_picture, document),
        ),
        Table("Points of accuracy lost", columns, rows),
    )


def unknown(given: Given) -> Sequence[Block]:
    """Groups without a curve, and why."""
    rows: list[list[Cell]] = [
        [group["name"], group["reason"]] for group in given.document["groups"] if group.get("reason")
    ]
    return (Table("Not measured", [Column("group", typed=True), Column("reason")], rows),) if rows else ()


ASKED = Part("asked", "What was asked", asked, key="origin")
IN_WORDS = Part("remarks", "In words", in_words, key="groups")
CURVES = Part("curves", "Curves", curves, key="groups")
HEATMAP = Part("heatmap", "Group by group", heatmap, key="groups")
UNKNOWN = Part("unknown", "Not measured", unknown, key="groups")


def _damage(group: Group) -> float:
    return sum(float(point["loss"]) for point in group["points"]) / len(group["points"])


def _middle(group: Group) -> Mapping[str, Any]:
    """The point nearest to half of the channels."""
    points: Sequence[Mapping[str, Any]] = group["points"]
    return min(points, key=lambda point: abs(point["ratio"] - 0.5))


def _curves(axis: Axes, document: Document, key: str) -> None:
    groups = most_sensitive(document)
    whole = document["before"][key]
    for place, group in reversed([*enumerate(groups)]):
        shares = [0.0, *(100 * point["removed"] / group["channels"] for point in group["points"])]
        values = np.asarray([whole, *(point[key] for point in group["points"])], dtype=np.float64)
        named = place < COLOURED
        axis.plot(
            shares,
            values,
            color=_COLOURS[place] if named else "#c9cfd6",
            linewidth=1.6 if named else 0.9,
            marker="o" if named else "",
            markersize=3,
            zorder=3 if named else 2,
            label=group["name"] if named else None,
        )
    handles, labels = axis.get_legend_handles_labels()
    axis.legend(handles[::-1], labels[::-1], fontsize=6.5, frameon=False)
    axis.set_xlabel("channels of the group that are gone, %", fontsize=8)
    axis.set_title(_WORDS[key].capitalize(), fontsize=9)
    axis.tick_params(labelsize=7)
    axis.grid(color="#e3e6ea", linewidth=0.6)
    axis.set_axisbelow(True)


def _heatmap(axis: Axes, document: Document) -> None:
    groups, ratios = most_sensitive(document), list(document["origin"]["ratios"])
    whole = document["before"]["accuracy"]
    lost = np.full((len(groups), len(ratios)), np.nan)
    for row, group in enumerate(groups):
        for point in group["points"]:
            if point["accuracy"] is not None:
                lost[row, ratios.index(point["ratio"])] = whole - point["accuracy"]
    top = max(float(np.nanmax(lost, initial=0.0)), 1.0)
    import matplotlib as mpl

    shades = mpl.colormaps["OrRd"].with_extremes(bad="#e7e9ec")
    axis.imshow(np.ma.masked_invalid(lost), vmin=0, vmax=top, cmap=shades, aspect="auto")
    axis.set_title("Points of accuracy lost", fontsize=9)
    axis.set_xticks(range(len(ratios)), [f"{100 * ratio:.3g} %" for ratio in ratios], fontsize=7)
    axis.set_yticks(range(len(groups)), [group["name"] for group in groups], fontsize=6.5)
    for row, column in np.ndindex(*lost.shape):
        value = lost[row, column]
        if not np.isnan(value):
            shade = "white" if value > 0.6 * top else "black"
            axis.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=5.5, color=shade)


def _figure(
    document: Document, *, widths: Sequence[float], height: float | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure without a display, a panel a width; as high as the rows of a heatmap ask for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = len(most_sensitive(document))
    figure = Figure(figsize=(sum(widths), height or max(2.4, 0.9 + 0.2 * rows)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)
    return figure, list(panels.flat)
