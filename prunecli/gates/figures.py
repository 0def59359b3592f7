"""What a printed document says of a network: each figure, and where it stands for which command.

A figure has one value, or with `bench` one for each setting and network; then a gate judges the worst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from prunecli.checkpoints import shown

Document: TypeAlias = Mapping[str, Any]
Values: TypeAlias = dict[str, Any]
"""Values by where they hold; "" where there is one for the whole document."""
Read: TypeAlias = Callable[[Document], Values]
ReadPairs: TypeAlias = Callable[[Document], dict[str, tuple[float, float]]]

WHOLE = ""
_LARGEST = 1e300


class NotSaid(Exception):
    """The document has a place for a figure, but not the figure; `place` is a path of keys."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Where each command's document says it: of its network (`after`), of the one it came from (`before`).

    `pairs` is for documents that have measured before and after against each other, which says more than
    the two alone. `hint` is how a missing figure is had.
    """

    words: str
    after: Mapping[str, Read]
    before: Mapping[str, Read] = field(default_factory=dict)
    pairs: Mapping[str, ReadPairs] = field(default_factory=dict)
    hint: str = ""

    def changes_in(self, command: str) -> bool:
        """Whether one document of `command` says by itself how the figure has changed."""
        return command in self.pairs or (command in self.before and command in self.after)

    def change(self, command: str, document: Document) -> dict[str, tuple[float, float]]:
        """Before and after, by where they hold."""
        if command in self.pairs:
            return self.pairs[command](document)
        before, after = self.before[command](document), self.after[command](document)
        return {where: (before[where], value) for where, value in after.items()}


def at(*places: str) -> Read:
    """The number at the first of some paths of keys that leads to anything."""

    def read(document: Document) -> Values:
        return {WHOLE: _number(document, *places)}

    return read


def stated(place: str) -> Read:
    """The truth value at a path of keys."""

    def read(document: Document) -> Values:
        value = _inside(document, place)
        if not isinstance(value, bool):
            raise NotSaid(place)
        return {WHOLE: value}

    return read


def _number(document: Any, *places: str) -> float:
    for place in places:
        value = _inside(document, place)
        if value is not None:
            # Compared, not converted: a whole number of JSON may be too large for a float.
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < _LARGEST:
                raise NotSaid(place)
            return value
    raise NotSaid(places[0])


def _inside(document: Any, place: str) -> Any:
    for key in place.split("."):
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def _runs(document: Document) -> Iterator[tuple[str, list[Document], list[Document]]]:
    """The settings of a benchmark: their name, networks and ratios."""
    runs = document.get("runs") or [document]
    for run in runs if isinstance(runs, list) else ():
        models = _rows(run, "models")
        if not models:
            raise NotSaid("models")
        ratios = _rows(run, "ratios")
        setting = f"{run.get('backend')}, threads {run.get('threads')}, batch {run.get('batch')}"
        yield setting, models, ratios


def _rows(run: Any, key: str) -> list[Document]:
    rows = _inside(run, key)
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise NotSaid(key)
    return rows


def _named(row: Document, key: str, setting: str) -> str:
    return shown(f"{row.get(key)}, {setting}")


def _timed(place: str, *, scale: float = 1) -> Read:
    """A figure of every network that was timed against the first; of the only one where it is alone."""

    def read(document: Document) -> Values:
        found: Values = {}
        for setting, models, _ in _runs(document):
            for model in models[1:] or models:
                found[_named(model, "path", setting)] = _number(model, place) * scale
        return found

    return read


def _first(place: str) -> Read:
    """The same figure of the first network, by where each later one has it."""

    def read(document: Document) -> Values:
        found: Values = {}
        for setting, models, _ in _runs(document):
            if len(models) == 1:
                raise NotSaid("ratios")
            value = _number(models[0], place)
            found.update({_named(model, "path", setting): value for model in models[1:]})
        return found

    return read


def _raced(document: Document) -> dict[str, tuple[float, float]]:
    """Latencies before and after, in those of the network after: the ratio within the rounds says more."""
    found = {}
    for setting, _, ratios in _runs(document):
        if not ratios:
            raise NotSaid("ratios")
        for ratio in ratios:
            found[_named(ratio, "b", setting)] = (_number(ratio, "latency"), 1.0)
    return found


def _costs(key: str) -> tuple[dict[str, Read], dict[str, Read]]:
    """Where a cost stands, after and before."""
    after = {
        **{"prune": at(f"after.{key}"), "inspect": at(key), "bench": _timed(key)},
        **{"diff": at(f"b.{key}"), "sweep": at(f"chosen.{key}")},
    }
    before = {
        **{"prune": at(f"before.{key}"), "bench": _first(key), "diff": at(f"a.{key}")},
        "sweep": at(f"dense.{key}"),
    }
    return after, before


_MACS, _PARAMS = _costs("macs"), _costs("params")
_WRITTEN = at("output.bytes")

ACCURACY = Figure(
    words="an accuracy",
    after={
        **{"prune": at("accuracy.after"), "finetune": at("after.accuracy"), "evaluate": at("accuracy")},
        "sweep": at("chosen.accuracy.test"),
    },
    before={
        **{"prune": at("accuracy.before"), "finetune": at("before.accuracy")},
        "sweep": at("chosen.accuracy.before"),
    },
    hint="prune measures it with --data, sweep for the network that it keeps by -o",
)
LOSS_VALUE = Figure(words="a loss", after={"finetune": at("after.loss"), "evaluate": at("loss")})
MACS_LEFT = Figure(
    words="MACs", after=_MACS[0], before=_MACS[1], hint="bench counts them in checkpoints, not in .onnx files"
)
PARAMS_LEFT = Figure(words="parameters", after=_PARAMS[0], before=_PARAMS[1], hint=MACS_LEFT.hint)
WEIGHT_BYTES = Figure(
    words="bytes of weights",
    after={
        **{"prune": at("after.bytes"), "diff": at("b.bytes"), "inspect": at("bytes")},
        **{"finetune": _WRITTEN, "export": _WRITTEN, "sweep": _WRITTEN},
    },
    before={"prune": at("before.bytes"), "diff": at("a.bytes")},
    hint="a file is written with -o",
)
FILE_BYTES = Figure(
    words="the size of a file",
    after={**WEIGHT_BYTES.after, "prune": at("output.bytes", "after.bytes")},
    hint=WEIGHT_BYTES.hint,
)
LATENCY = Figure(
    words="a latency",
    after={"bench": _timed("latency_ms.median", scale=1e-3)},
    pairs={"bench": _raced},
    hint="bench compares two or more checkpoints: prunecli bench model.safetensors small.safetensors --json",
)
MEMORY = Figure(
    words="peak memory", after={"bench": _timed("peak_memory_bytes")}, hint="bench measures it with --memory"
)
LARGEST_ERROR = Figure(
    words="a largest error",
    after={"prune": at("verification.max_abs_error"), "export": at("verification.max_abs_error")},
)
AGREEMENT = Figure(
    words="how often the first class agrees",
    after={"export": at("verification.top1_agreement")},
    hint="export counts it for networks with classes",
)
EQUIVALENT = Figure(
    words="a proof", after={name: stated("verification.equivalent") for name in ("prune", "export")}
)
TARGET_MET = Figure(
    words="a target",
    after={"prune": stated("target.met")},
    hint="prune has one with --target, as in --target macs=0.5",
)
IDENTICAL = Figure(words="whether two checkpoints are identical", after={"diff": stated("identical")})
