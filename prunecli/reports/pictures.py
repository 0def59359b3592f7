"""Results, drawn: agreement of criteria, ranks in one layer, scores layer by layer, the course of a training.

Figures are drawn without a display, and the same data gives the same bytes. They are drawn from the JSON
documents of `score`, `compare` and `finetune`, so what is drawn is what was printed.
"""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunecli.checkpoints import Written, write_data
from prunecli.errors import WorkFailed, WrongUse

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
WITH_NUMBERS = 24
"""Up to so many criteria the cells of a heatmap carry their number."""
MOST_RANKED = 12
"""Of so many criteria ranks are drawn against each other: a panel for every two."""
MOST_DOTTED = 30
"""Up to so many epochs each has a dot."""
_DOTS_PER_INCH = 150

Matrix = NDArray[np.float64]


def picture_format(path: str) -> str:
    """The format that the file's ending names; raises WrongUse for another than png, svg and pdf."""
    ending = Path(path).suffix.lstrip(".").lower()
    if ending not in FORMATS:
        raise WrongUse(
            f"{path!r} names no picture that can be drawn", hints=[f"valid endings: .{', .'.join(FORMATS)}"]
        )
    return ending


def check_picture(path: str) -> None:
    """Say before any work what would keep a picture from being drawn.

    Raises WrongUse for an ending that cannot be, WorkFailed where matplotlib is missing.
    """
    picture_format(path)
    if importlib.util.find_spec("matplotlib") is None:
        raise WorkFailed(
            "pictures are drawn by matplotlib, which is not installed",
            hints=["install it: pip install 'prunecli[plot]'"],
        )


def write_picture(figure: Figure, path: str, *, force: bool = False) -> Written:
    """Write the figure in the format of the path's ending, whole or not at all."""
    return write_data(path, encoded(figure, picture_format(path)), force=force)


def encoded(figure: Figure, kind: str) -> bytes:
    """The figure as the bytes of a file of `kind`, the same for the same figure."""
    import matplotlib as mpl
    from matplotlib.text import Text

    # A layer's name may hold dollar signs, which are no formula here.
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    # No time of making, and names in SVG that follow from the content.
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "prunecli", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=kind, dpi=_DOTS_PER_INCH, bbox_inches="tight", metadata=undated)
    return buffer.getvalue()


def agreement_heatmaps(document: Mapping[str, Any], *, panels: Sequence[str] | None = None) -> Figure:
    """Criteria against criteria: Spearman inside layers, then the Jaccard index at each ratio.

    `document` is the JSON of `compare`. Criteria that rank alike stand together. `panels` chooses among
    "spearman" and the ratios.
    """
    criteria: list[str] = list(document["criteria"])
    ratios = [str(ratio) for ratio in document["ratios"]]
    correlation = _matrix(criteria, document["pairs"], lambda pair: pair["spearman"])
    order = order_by_likeness(correlation)
    names = [criteria[at] for at in order]
    found = {"spearman": ("Spearman, mean over layers", correlation, -1.0, "RdBu")}
    for ratio in ratios:
        overlap = _matrix(criteria, document["pairs"], _jaccard_at(ratio))
        found[ratio] = (f"Jaccard of what goes at {ratio}", overlap, 0.0, "Blues")
    drawn = [found[panel] for panel in (found if panels is None else panels)]
    crowd = len(criteria) > WITH_NUMBERS
    side = max(3.2, (0.2 if crowd else 0.42) * len(criteria) + 1.9)
    columns = min(len(drawn), 2 if crowd else len(drawn))
    rows = -(-len(drawn) // columns)
    figure, axes = _figure(rows, columns, width=side * columns, height=side * rows)
    for axis, (title, matrix, least, colours) in zip(axes, drawn, strict=False):
        _heatmap(axis, matrix[np.ix_(order, order)], names, title=title, least=least, colours=colours)
    for axis in axes[len(drawn) :]:
        axis.set_visible(False)
    return figure


def rank_pictures(document: Mapping[str, Any], layer: str) -> Figure:
    """Ranks of one layer's filters by each criterion against each other one: a point a filter.

    `document` is the JSON of `score`; of many criteria the first twelve are drawn. Raises WrongUse for a
    layer that no two criteria score.
    """
    found = {each["name"]: each["scores"] for each in document["layers"]}
    if layer not in found:
        raise WrongUse(f"no layer is called {layer!r}", hints=["see: prunecli inspect"])
    scores = {name: np.asarray(values) for name, values in found[layer].items() if values is not None}
    if len(scores) < 2:
        raise WrongUse(f"fewer than two of the criteria score {layer!r}")
    names = list(scores)[:MOST_RANKED]
    ranks = {name: _ranks(values) for name, values in scores.items() if name in names}
    count = len(names)
    figure, axes = _figure(count, count, width=1.5 * count + 1, height=1.5 * count + 1)
    size = max(1.0, 14 - 0.02 * len(next(iter(ranks.values()))))
    for row, below in enumerate(names):
        for column, across in enumerate(names):
            axis = axes[row * count + column]
            axis.set_xticks([])
            axis.set_yticks([])
            if row == column:
                axis.hist(scores[across], bins=20, color="#8a97a8")
            else:
                axis.scatter(ranks[across], ranks[below], s=size, color="#1f5fa8", linewidths=0)
            if row == count - 1:
                axis.set_xlabel(across, fontsize=8)
            if column == 0:
                axis.set_ylabel(below, fontsize=8)
    figure.suptitle(f"{layer}: rank of each filter by one criterion against another", fontsize=10)
    return figure


def score_distributions(document: Mapping[str, Any]) -> Figure:
    """The scores of every layer's filters, one panel a criterion, each layer's divided by its mean |score|.

    `document` is the JSON of `score`. A box that is a line is a criterion that cannot tell filters apart.
    """
    criteria: list[str] = list(document["criteria"])
    layers = document["layers"]
    columns = min(3, len(criteria))
    rows = math.ceil(len(criteria) / columns)
    width = max(4.0, 0.16 * len(layers) + 1.5)
    figure, axes = _figure(rows, columns, width=width * columns, height=3.4 * rows)
    for axis, criterion in zip(axes, criteria, strict=False):
        given = [(layer["name"], layer["scores"].get(criterion)) for layer in layers]
        values = [np.asarray(scores) / _size(scores) for _, scores in given if scores is not None]
        names = [name for name, scores in given if scores is not None]
        axis.set_title(criterion, fontsize=9)
        if not values:
            axis.text(0.5, 0.5, "not available", ha="center", va="center", transform=axis.transAxes)
            continue
        axis.boxplot(values, showfliers=False, widths=0.6, medianprops={"color": "#b3401f"})
        axis.set_xticks(range(1, len(names) + 1), names, rotation=90, fontsize=5)
        axis.tick_params(axis="y", labelsize=6)
    for axis in axes[len(criteria) :]:
        axis.set_visible(False)
    figure.supylabel("score ÷ mean |score| of the layer", fontsize=8)
    return figure


def training_curves(document: Mapping[str, Any], *, panels: Sequence[str] = ("loss", "accuracy")) -> Figure:
    """Loss (training and validation) and validation accuracy per epoch, the epoch that was kept marked.

    `document` is the JSON of `finetune`. An epoch whose figure is undefined is a gap in its line. `panels`
    chooses between "loss" and "accuracy".
    """
    from matplotlib.ticker import MaxNLocator

    history = document["history"]
    best = (document.get("best") or {}).get("epoch")
    figure, axes = _figure(1, len(panels), width=3.6 * len(panels), height=2.8)
    for axis, panel in zip(axes, panels, strict=True):
        if panel == "loss":
            _curve(axis, history, "train_loss", label="training", colour="#8a97a8")
        _curve(axis, history, panel, label="validation", colour="#1f5fa8")
        _mark(axis, history, panel, best)
        axis.set_title({"loss": "Loss", "accuracy": "Accuracy, %"}[panel], fontsize=9)
        axis.set_xlabel("epoch", fontsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))
        axis.tick_params(labelsize=7)
        axis.grid(color="#e3e6ea", linewidth=0.6)
        axis.set_axisbelow(True)
        axis.legend(fontsize=7, frameon=False)
    return figure


def kept_channels(document: Mapping[str, Any]) -> Figure:
    """A bar for every layer: how many filters it had, and how many of them stayed.

    `document` is the JSON of `prune`.
    """
    layers = document["layers"]
    figure, (axis,) = _figure(1, 1, width=7.2, height=max(1.6, 0.17 * len(layers) + 0.8))
    places = range(len(layers))
    axis.barh(places, [each["before"] for each in layers], height=0.72, color="#d5dbe3", label="before")
    axis.barh(places, [each["after"] for each in layers], height=0.72, color="#1f5fa8", label="after")
    axis.set_yticks(places, [each["name"] for each in layers], fontsize=6)
    axis.set_ylim(len(layers) - 0.4, -0.6)  # the first layer on top
    axis.tick_params(axis="x", labelsize=7)
    axis.set_xlabel("filters", fontsize=8)
    axis.legend(fontsize=7, frameon=False, loc="best")
    return figure


def order_by_likeness(correlation: Matrix) -> list[int]:
    """An order of criteria in which those that rank alike stand together; what is undefined counts as 0."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(correlation) < 3:
        return list(range(len(correlation)))
    distance = 1 - np.nan_to_num(correlation)
    np.fill_diagonal(distance, 0)
    joined = linkage(squareform(distance, checks=False), method="average")
    return [int(leaf) for leaf in leaves_list(joined)]


def _heatmap(
    axis: Axes, matrix: Matrix, names: Sequence[str], *, title: str, least: float, colours: str
) -> None:
    import matplotlib as mpl

    shades = mpl.colormaps[colours].with_extremes(bad="#d9d9d9")
    axis.imshow(np.ma.masked_invalid(matrix), vmin=least, vmax=1, cmap=shades)
    axis.set_title(title, fontsize=9)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axis.set_yticks(range(len(names)), names, fontsize=7)
    if len(names) > WITH_NUMBERS:
        return
    for row, column in np.ndindex(*matrix.shape):
        value = matrix[row, column]
        text = "–" if np.isnan(value) else f"{value:.2f}".replace("0.", ".", 1)
        dark = abs(value) > 0.65
        axis.text(
            column, row, text, ha="center", va="center", fontsize=5.5, color="white" if dark else "black"
        )


def _curve(axis: Axes, history: Sequence[Mapping[str, Any]], name: str, *, label: str, colour: str) -> None:
    numbers = [each["epoch"] for each in history]
    values = np.asarray([each.get(name) for each in history], dtype=np.float64)  # None becomes a gap
    marker = "o" if len(values) <= MOST_DOTTED else ""
    axis.plot(numbers, values, label=label, color=colour, linewidth=1.4, marker=marker, markersize=3)


def _mark(axis: Axes, history: Sequence[Mapping[str, Any]], name: str, best: int | None) -> None:
    """A line and a ring at the epoch that was kept."""
    kept = next((each for each in history if each["epoch"] == best), {})
    value = kept.get(name)
    if best is None or value is None:
        return
    axis.axvline(best, color="#b3401f", linewidth=0.8, linestyle=":")
    axis.plot(
        [best],
        [value],
        label=f"best: epoch {best}, {value:.4g}",
        linestyle="",
        marker="o",
        markersize=8,
        markerfacecolor="none",
        markeredgecolor="#b3401f",
        markeredgewidth=1.4,
    )


def _matrix(criteria: Sequence[str], pairs: Sequence[Mapping[str, Any]], figure: Any) -> Matrix:
    at = {name: index for index, name in enumerate(criteria)}
    matrix = np.full((len(criteria), len(criteria)), np.nan)
    np.fill_diagonal(matrix, 1)
    for pair in pairs:
        value = figure(pair)
        a, b = at[pair["a"]], at[pair["b"]]
        matrix[a, b] = matrix[b, a] = np.nan if value is None else value
    return matrix


def _jaccard_at(ratio: str) -> Any:
    return lambda pair: pair["jaccard"].get(ratio)


def _ranks(values: Matrix) -> Matrix:
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), dtype=np.float64)


def _size(scores: Sequence[float]) -> float:
    return float(np.abs(np.asarray(scores)).mean()) or 1.0


def _figure(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure without a display, and its panels row by row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False)
    return figure, list(panels.flat)
