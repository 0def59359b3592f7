"""Accuracy against MACs: the picture of a sweep and the sections of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from prunecli.reports.cells import Cell, as_given, gained
from prunecli.reports.sections import (
    Block,
    Column,
    Command,
    Document,
    Facts,
    Fold,
    Given,
    Part,
    Picture,
    Remarks,
    Table,
    Words,
)
from prunecli.reports.subject import checkpoint_rows, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Trial = Mapping[str, Any]

MOST_NUMBERED = 25
"""Up to so many trials on the front each has its number beside it."""
_CHOICES = ("strategy", "criterion", "scope")
_COLOURS = ("#1f5fa8", "#2e8b57", "#c77c11", "#7a4fa3", "#2aa1b3", "#9c3d54", "#6b6b2a", "#8a97a8")
_SHAPES = ("o", "s", "^", "D", "v", "P", "X", "h")
_BEST = "#b3401f"
_LAYERS = {
    "comparison": "behind others that cost no more",
    "semantic": "of no use",
    "threshold": "out of reach of the accuracy that is wanted",
}


def front_picture(document: Document) -> Figure:
    """Validation accuracy against the share of the MACs that is left, a mark a trial, the front as a line.

    `document` is the JSON of `sweep`. Trials that were stopped early are hollow: of them the seeds that were
    run count. Colours and shapes tell the two choices with the most values apart.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    _front_line(axis, document)
    _marks(axis, document)
    _dense(axis, document)
    _best(axis, document)
    _bounds(axis, document)
    axis.set_xlabel("MACs that are left, %", fontsize=9)
    axis.set_ylabel("validation accuracy, %", fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(color="#e3e6ea", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def asked(given: Given) -> Sequence[Block]:
    """Checkpoint, data, the values that were tried, and where the trials are kept."""
    document = given.document
    space, study = document["space"], document["study"]
    rows: list[tuple[str, Cell]] = [
        *checkpoint_rows(document),
        ("data", document.get("data")),
        *((name, listed(values)) for name, values in space.items() if values),
        ("seeds a trial", document.get("seeds")),
        ("epochs", document.get("epochs")),
        ("sampler", study.get("sampler")),
        ("study", f"{study.get('name')} in {study.get('storage')}"),
    ]
    if document.get("max_drop") is not None:
        rows.append(("points that may be lost", document["max_drop"]))
    return (Facts(rows),)


def in_words(given: Given) -> Sequence[Block]:
    """How many trials there were, what early stopping saved, and the notes of the work."""
    document = given.document
    lines = [*counted(document), *(document.get("notes") or ())]
    return (Remarks(lines),) if lines else ()


def front(given: Given) -> Sequence[Block]:
    """The front, drawn and in numbers."""
    document = given.document
    drawn = Picture(
        f"Validation accuracy against MACs of {len(document['trials'])} trials, the front as a line",
        partial(front_picture, document),
    )
    words = Words(
        "No other trial is at least as accurate with no more MACs. Accuracy is the trimmed mean of the seeds "
        "on the validation part; the test part had no say."
    )
    members = [_by_number(document)[number] for number in document["front"]]
    if not members:
        return (drawn,)
    lines = "\n".join(each["command"] for each in members if each.get("command"))
    again = (Fold("To make them again", [Command(lines)]),) if lines else ()
    return (words, drawn, _table("The front", members, document), *again)


def trials(given: Given) -> Sequence[Block]:
    """Every trial, with why it was stopped where it was."""
    document = given.document
    return (_table("Every trial", document["trials"], document),) if document["trials"] else ()


def chosen(given: Given) -> Sequence[Block]:
    """The network that was written, on the test part."""
    found = given.document["chosen"]
    accuracy = found.get("accuracy") or {}
    rows: list[tuple[str, Cell]] = [
        ("trial", found.get("number")),
        ("accuracy on the test part, %", accuracy.get("test")),
        ("before pruning, %", accuracy.get("before")),
        ("MACs", found.get("macs")),
        ("parameters", found.get("params")),
        ("file", (given.document.get("output") or {}).get("path")),
    ]
    return (Facts(rows),)


def counted(document: Document) -> list[str]:
    """How many trials there were and what became of them, in sentences."""
    found, saved = document["trials"], document["saved"]
    done = sum(each["state"] == "complete" for each in found)
    lines = [f"{done} of {len(found)} trials were run to their end."]
    lines += [
        f"{count} stopped: {_LAYERS.get(layer, layer)}."
        for layer, count in (saved.get("layers") or {}).items()
        if count
    ]
    failed = sum(each["state"] == "failed" for each in found)
    if failed:
        lines.append(f"{failed} broke down.")
    if saved.get("trials"):
        whole = (document.get("seconds") or 0.0) + saved["seconds"]
        share = 100 * saved["seconds"] / whole if whole else 0.0
        lines.append(f"Stopping early saved {saved['seconds']:.0f} of {whole:.0f} seconds ({share:.0f} %).")
    return lines


ASKED = Part("asked", "What was asked", asked)
IN_WORDS = Part("remarks", "In words", in_words)
FRONT = Part("front", "Accuracy against MACs", front, key="front")
CHOSEN = Part("chosen", "The network that was written", chosen, key="chosen")
TRIALS = Part("trials", "Trials", trials, key="trials")


def _table(caption: str, members: Sequence[Trial], document: Document) -> Table:
    whole = document["dense"]
    amount = "target" if document["space"].get("targets") else "ratio"
    rows: list[list[Cell]] = [
        [
            as_given(each["number"]),
            *(each["values"].get(name) for name in ("criterion", "strategy", amount, "scope")),
            each["accuracy"]["validation"],
            each["accuracy"]["spread"],
            gained(whole["accuracy"], each["accuracy"]["validation"]),
            None if each["macs"] is None else 100 * each["macs"] / whole["macs"],
            each["params"],
            each["seeds"],
            each["seconds"],
            _outcome(each),
        ]
        for each in members
    ]
    numbers = ("accuracy, %", "spread", "points", "MACs left, %", "parameters", "seeds", "seconds")
    columns = [
        Column("trial", numeric=True),
        *(Column(title, typed=True) for title in ("criterion", "strategy")),
        Column(amount, numeric=True),
        Column("scope", typed=True),
        *(Column(title, numeric=True) for title in numbers),
        Column("outcome", sortable=False),
    ]
    return Table(caption, columns, rows)


def _outcome(trial: Trial) -> str:
    stopped = trial.get("stopped")
    if stopped is not None:
        return f"stopped: {stopped['reason']}"
    failed = trial.get("failed")
    return f"failed: {failed}" if failed else str(trial["state"])


def _marks(axis: Axes, document: Document) -> None:
    """A mark a trial, in the colour of one choice and the shape of another."""
    shown = [each for each in document["trials"] if each["macs"] is not None]
    first, second = _told_apart(shown)
    colours, shapes = _assigned(shown, first, _COLOURS), _assigned(shown, second, _SHAPES)
    for trial in shown:
        colour = colours.get(trial["values"].get(first), _COLOURS[0])
        full = trial["state"] == "complete"
        axis.plot(
            *_point(trial, document),
            linestyle="",
            marker=shapes.get(trial["values"].get(second), _SHAPES[0]),
            markersize=6 if full else 4,
            markerfacecolor=colour if full else "none",
            markeredgecolor=colour,
            markeredgewidth=0.8,
            alpha=1.0 if full else 0.6,
            zorder=3,
        )
    for name, colour in colours.items():
        axis.plot([], [], linestyle="", marker="o", markersize=6, color=colour, label=name)
    for name, shape in shapes.items():
        axis.plot([], [], linestyle="", marker=shape, markersize=5, color="#404854", label=name)
    if any(each["state"] != "complete" for each in shown):
        axis.plot([], [], linestyle="", marker="o", markersize=4, markerfacecolor="none",
                  markeredgecolor="#404854", label="stopped early")  # fmt: skip


def _told_apart(shown: Sequence[Trial]) -> tuple[str, str]:
    """The choice that colours tell, the one with the most values, and the one that shapes tell."""
    counts = {name: len({each["values"].get(name) for each in shown}) for name in _CHOICES}
    first, second, _ = sorted(_CHOICES, key=lambda name: -counts[name])
    return first, second


def _assigned(shown: Sequence[Trial], choice: str, marks: Sequence[str]) -> dict[str, str]:
    """Value → its mark; none where there is one value only. The last mark serves all that are too many."""
    values = list(dict.fromkeys(str(each["values"].get(choice)) for each in shown))
    if len(values) < 2:
        return {}
    return {value: marks[min(place, len(marks) - 1)] for place, value in enumerate(sorted(values))}


def _front_line(axis: Axes, document: Document) -> None:
    """Steps: with so many MACs no trial is more accurate."""
    members = [_by_number(document)[number] for number in document["front"]]
    points = [_point(each, document) for each in members]
    if points:
        axis.step(*zip(*points, strict=True), where="post", color="#b9c2cd", linewidth=1.4, label="front")
    numbers: dict[tuple[float, float], list[str]] = {}
    for trial, point in zip(members, points, strict=True):
        numbers.setdefault(point, []).append(str(trial["number"]))
    for point, alike in numbers.items() if len(points) <= MOST_NUMBERED else ():
        axis.annotate(", ".join(alike), point, textcoords="offset points", xytext=(5, -9), fontsize=6.5)


def _dense(axis: Axes, document: Document) -> None:
    dense = document["dense"]
    label = "before pruning"
    axis.plot(
        [100], [dense["accuracy"]], linestyle="", marker="*", markersize=11, color="#404854", label=label
    )
    if document.get("max_drop") is not None:
        least = dense["accuracy"] - document["max_drop"]
        axis.axhline(least, color=_BEST, linewidth=0.8, linestyle=":", label="least accuracy wanted")


def _best(axis: Axes, document: Document) -> None:
    """A ring around the chosen trial."""
    trial = _by_number(document).get(document.get("best"))
    if trial is not None:
        axis.plot(
            *_point(trial, document),
            label=f"best: trial {trial['number']}",
            linestyle="",
            marker="o",
            markersize=11,
            markerfacecolor="none",
            markeredgecolor=_BEST,
            markeredgewidth=1.4,
        )


def _bounds(axis: Axes, document: Document) -> None:
    """What was run to its end decides what is seen: a trial at chance would flatten the rest."""
    ended = [each for each in document["trials"] if each["state"] == "complete"]
    heights = [*(each["accuracy"]["validation"] for each in ended), document["dense"]["accuracy"]]
    axis.set_xlim(0, 104)
    if len(heights) < 2:
        return
    margin = max(0.06 * (max(heights) - min(heights)), 0.3)
    low = min(heights) - margin
    axis.set_ylim(low, max(heights) + margin)
    shown = [each["accuracy"]["validation"] for each in document["trials"] if each["macs"] is not None]
    lower = sum(height < low for height in shown)
    if lower:
        said = f"{lower} stopped early lie{'s' if lower == 1 else ''} lower"
        axis.text(0.99, 0.02, said, transform=axis.transAxes, ha="right", fontsize=7, color="#404854")


def _by_number(document: Document) -> dict[Any, Trial]:
    return {each["number"]: each for each in document["trials"]}


def _point(trial: Trial, document: Document) -> tuple[float, float]:
    return 100 * trial["macs"] / document["dense"]["macs"], trial["accuracy"]["validation"]
