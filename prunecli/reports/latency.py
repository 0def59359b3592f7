"""The sections on measured latency: the machine, the figures of each network, and the speed-ups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from prunecli.reports.cells import Cell, Interval, as_given
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
    numeric,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SETTING = ("backend", "threads", "batch")
_COLOURS = ("#8a97a8", "#1f5fa8", "#2e8b57", "#c77c11", "#7a4fa3", "#2aa1b3")


def asked(given: Given) -> Sequence[Block]:
    """What it was measured on."""
    document = given.document
    machine = document.get("machine") or {}
    rows: list[tuple[str, Cell]] = [
        ("device", machine.get("device") or document["device"]),
        ("processor", machine.get("processor")),
        ("type of the weights", document.get("dtype") or "as the files have them"),
        ("freed memory is kept", document.get("memory_kept")),
    ]
    return (Facts(rows),)


def in_words(given: Given) -> Sequence[Block]:
    """The speed-up of every later network over the first, measured beside theoretical."""
    lines = [
        f"{each['b']} is {each['latency']:.2f} times as fast as {each['a']} ({_said(run)})"
        + (f"; by MACs it would be {each['macs']:.2f} times." if each.get("macs") else ".")
        for run in given.document["runs"]
        for each in run["ratios"]
    ]
    return (Remarks(lines),) if lines else ()


def figures(given: Given) -> Sequence[Block]:
    """Latencies drawn and in numbers."""
    document = given.document
    rows: list[list[Cell]] = [
        [
            model["path"],
            run["backend"],
            as_given(run["threads"]),
            as_given(run["batch"]),
            *(model["latency_ms"][key] for key in ("median", "p10", "p90")),
            model["images_per_second"],
            model["macs"],
            model["peak_memory_bytes"],
        ]
        for run, model in _models(document)
    ]
    titles = ("median, ms", "p10, ms", "p90, ms", "images/s", "MACs", "peak memory, bytes")
    columns = [Column("network", typed=True), Column("backend"), *map(numeric, ("threads", "batch", *titles))]
    return (
        Picture(
            f"Latency of {len(document['models'])} networks in {len(document['runs'])} settings",
            partial(latency_bars, document),
        ),
        Table("Latency of a batch", columns, rows),
    )


def ratios(given: Given) -> Sequence[Block]:
    """Speed-ups with their intervals, nothing where there is one network."""
    rows: list[list[Cell]] = [
        [
            each["b"],
            run["backend"],
            as_given(run["threads"]),
            as_given(run["batch"]),
            each["latency"],
            Interval(*each["interval"]),
            each["macs"],
            each["latency_of_macs"],
        ]
        for run in given.document["runs"]
        for each in run["ratios"]
    ]
    titles = ("measured", "95 % interval", "theoretical, by MACs", "measured ÷ theoretical")
    columns = [Column("network", typed=True), Column("backend"), *map(numeric, ("threads", "batch", *titles))]
    first = given.document["models"][0]["path"]
    return (Table(f"Speed-up over {first}", columns, rows),) if rows else ()


def latency_bars(document: Document) -> Figure:
    """A bar for each network in each setting, from the 10th to the 90th percentile a line at its end."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    entries = [*_models(document)]
    figure = Figure(figsize=(6.4, 0.9 + 0.34 * len(entries)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    paths = [model["path"] for model in document["models"]]
    for place, (_, model) in enumerate(entries):
        found = model["latency_ms"]
        error = [[found["median"] - found["p10"]], [found["p90"] - found["median"]]]
        colour = _COLOURS[paths.index(model["path"]) % len(_COLOURS)]
        axis.barh(place, found["median"], height=0.66, color=colour, xerr=error, ecolor="#404854")
        axis.text(0, place, f"  {found['median']:.3g} ms", va="center", fontsize=7, color="white")
    several = len(document["runs"]) > 1
    names = {path: PurePath(path).name for path in paths}
    if len({*names.values()}) < len(names):  # the folders tell them apart
        names = {path: path for path in paths}
    labels = [names[model["path"]] + (f"\n{_said(run)}" if several else "") for run, model in entries]
    axis.set_yticks(range(len(entries)), labels, fontsize=7)
    axis.invert_yaxis()
    axis.set_xlabel("milliseconds a batch, median; the line from the 10th to the 90th percentile", fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="x", color="#e3e6ea", linewidth=0.6)
    axis.set_axisbelow(True)
    return figure


ASKED = Part("asked", "What was measured", asked)
IN_WORDS = Part("remarks", "In words", in_words, key="runs")
FIGURES = Part("latency", "Latency", figures, key="runs")
RATIOS = Part("ratios", "Speed-up", ratios, key="runs")


def _models(document: Document) -> Iterator[tuple[Document, Document]]:
    for run in document["runs"]:
        for model in run["models"]:
            yield run, model


def _said(run: Document) -> str:
    words: list[Any] = [run[key] for key in _SETTING]
    return f"{words[0]}, threads {words[1]}, batch {words[2]}"
