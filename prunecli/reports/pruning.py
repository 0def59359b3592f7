"""The sections on a pruning: what was asked, before and after, which channels stayed, and the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from prunecli.reports import pictures, training
from prunecli.reports.cells import Cell, Status, went
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
from prunecli.reports.subject import checkpoint_rows

_FIGURES = (("params", "parameters"), ("macs", "MACs"), ("bytes", "bytes of weights"))
_ASKED = ("strategy", "criterion", "scope", "ratio", "seed")
_FEW_EPOCHS = 2  # below that there is no course to draw


def asked(given: Given) -> Sequence[Block]:
    """The checkpoint, and how much was to leave by which procedure."""
    document = given.document
    rows = checkpoint_rows(document)
    rows += [(key, document[key]) for key in _ASKED if document.get(key) is not None]
    target = document.get("target")
    if target:
        rows.append(("target", target["asked"]))
    return (Facts(rows),)


def in_words(given: Given) -> Sequence[Block]:
    """What it comes to."""
    document = given.document
    lines = [*_saved(document), *_accuracy(document), *_proved(document), *_widths(document)]
    return (Remarks(lines),) if lines else ()


def before_after(given: Given) -> Sequence[Block]:
    """Costs and accuracy of the network as it came and as it leaves."""
    document = given.document
    before, after = document["before"], document["after"]
    rows: list[list[Cell]] = [
        [word, before[key], after[key], 100 * (1 - after[key] / before[key])]
        for key, word in _FIGURES
        if before.get(key)
    ]
    blocks: list[Block] = [
        Table("Costs", [Column("figure"), *map(numeric, ("before", "after", "less, %"))], rows)
    ]
    accuracy = document.get("accuracy")
    if accuracy:
        first, cut, last = (accuracy.get(key) for key in ("before", "cut", "after"))
        stages: list[list[Cell]] = [
            ["as it came", first],
            ["right after the cut", cut],
            ["as it leaves", last],
        ]
        shown = [row for row in stages if row[1] is not None]
        blocks.append(Table("Accuracy", [Column("network"), numeric("accuracy, %")], shown))
    return blocks


def target(given: Given) -> Sequence[Block]:
    """What was to remain, what does, and what was tried on the way."""
    found = given.document["target"]
    met = Status("met", good=True) if found["met"] else Status("not met", good=False)
    verdict: Cell = "the most that keeps the drop" if found.get("tried") else met
    rows: list[tuple[str, Cell]] = [
        ("asked", found["asked"]),
        ("before", found["before"]),
        ("may remain", found["limit"]),
        ("remains", found["after"]),
        ("share", found["share"]),
        ("target", verdict),
    ]
    tried: list[list[Cell]] = [[each["macs"], each["accuracy"]] for each in found.get("tried") or ()]
    columns = [numeric("MACs that remain"), numeric("accuracy, %")]
    return (Facts(rows), *((Table("Tried, on the validation part", columns, tried),) if tried else ()))


def channels(given: Given) -> Sequence[Block]:
    """How many channels every layer has kept."""
    layers = given.document["layers"]
    rows: list[list[Cell]] = [
        [
            layer["name"],
            layer["type"],
            layer["before"],
            layer["after"],
            100 * (1 - layer["after"] / layer["before"]) if layer["before"] else None,
        ]
        for layer in layers
    ]
    titles = [Column("layer", typed=True), Column("type"), *map(numeric, ("before", "after", "less, %"))]
    cut = sum(layer["after"] < layer["before"] for layer in layers)
    return (
        Picture(
            f"Channels of {len(layers)} layers before and after; {cut} of them lost some",
            partial(pictures.kept_channels, given.document),
        ),
        Table("Filters of each layer", titles, rows),
    )


def protected(given: Given) -> Sequence[Block]:
    """What kept all its channels and why, and which bounds changed a number."""
    document = given.document
    kept: list[list[Cell]] = [[each["name"], each["reason"]] for each in document["protected"]]
    rules: list[list[Cell]] = [[each["group"], each["rule"]] for each in document.get("rules") or ()]
    blocks: list[Block] = []
    if kept:
        blocks.append(Table("Kept whole", [Column("layer", typed=True), Column("reason")], kept))
    if rules:
        blocks.append(Table("Changed by a bound", [Column("group", typed=True), Column("bound")], rules))
    return blocks


def course(given: Given) -> Sequence[Block]:
    """The trainings on the way, in the order of their epochs."""
    document = given.document
    bites: list[list[Cell]] = [
        [place, 100 * bite["ratio"], bite["epochs"]]
        for place, bite in enumerate(document.get("bites") or (), 1)
    ]
    blocks: list[Block] = []
    if bites:
        columns = [numeric("bite"), numeric("gone, %"), numeric("epochs at most")]
        blocks.append(Table("Bites", columns, bites))
    history = document.get("history") or ()
    if len(history) >= _FEW_EPOCHS:
        numbered = {"history": [{**each, "epoch": place} for place, each in enumerate(history, 1)]}
        blocks += training.curves(numbered, said=f"{len(history)} epochs")
    return blocks


def verification(given: Given) -> Sequence[Block]:
    """The proof of the cut, and where the time went."""
    document = given.document
    proof = document["verification"]
    rows: list[tuple[str, Cell]] = [
        ("equivalent", Status("yes", good=True) if proof["equivalent"] else Status("no", good=False)),
        ("method", proof.get("method")),
        ("largest absolute error", proof.get("max_abs_error")),
        ("largest relative error", proof.get("max_rel_error")),
        ("tolerance", proof.get("tolerance")),
        *((f"seconds: {stage}", value) for stage, value in (document.get("seconds") or {}).items()),
    ]
    return (
        Words("The cut network computes what the whole one computes with the removed channels masked."),
        Facts(rows),
    )


ASKED = Part("asked", "What was asked", asked)
IN_WORDS = Part("remarks", "In words", in_words)
BEFORE_AFTER = Part("figures", "Before and after", before_after, key="before")
TARGET = Part("target", "Target", target, key="target")
CHANNELS = Part("channels", "Channels", channels, key="layers")
PROTECTED = Part("protected", "Kept whole", protected, key="protected")
COURSE = Part("course", "Course of the pruning", course, key="history")
VERIFICATION = Part("verification", "Verification", verification, key="verification")
LOADING = training.LOADING


def _saved(document: Document) -> list[str]:
    before, after = document["before"], document["after"]
    if not (before.get("macs") and after.get("macs")):
        return []
    gone = {key: 100 * (1 - after[key] / before[key]) for key in ("macs", "params")}
    return [
        f"{gone['macs']:.1f} % of the MACs and {gone['params']:.1f} % of the parameters are gone.",
        f"The theoretical speed-up, by MACs, is {before['macs'] / after['macs']:.2f}x.",
    ]


def _accuracy(document: Document) -> list[str]:
    accuracy: Mapping[str, Any] = document.get("accuracy") or {}
    before, after = accuracy.get("before"), accuracy.get("after")
    if before is None or after is None:
        return []
    return [went("Accuracy", before, after)]


def _proved(document: Document) -> list[str]:
    proof: Mapping[str, Any] = document.get("verification") or {}
    return ["The cut was proved before anything was written."] if proof.get("equivalent") else []


def _widths(document: Document) -> list[str]:
    widths: Mapping[str, Any] = document.get("widths") or {}
    slow = len(widths.get("slow") or ())
    if not slow:
        return []
    layers = "1 layer keeps a width that is" if slow == 1 else f"{slow} layers keep widths that are"
    return [f"{layers} no multiple of {widths['multiple']}: expect less than the MACs promise."]
