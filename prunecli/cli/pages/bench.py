"""How a benchmark is read: each setting's networks, then what one is to the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prunecli.cli import figures
from prunecli.cli.tables import Page, Table, facts, name, number

_SETTING = ("backend", "threads", "batch")
_MODEL = ("path", "macs", "params", "images_per_second", "peak_memory_bytes")
_LATENCY = ("median", "p10", "p90")


def page(document: Mapping[str, Any]) -> Page:
    """The machine, the figures of every network in every setting, and the speed-ups."""
    return (_machine(document), _figures(document), _ratios(document))


def flat(document: Mapping[str, Any]) -> Table:
    """One row a setting and network, with its speed-up over the first."""
    rows = []
    for run, model in _models(document):
        ratio: Mapping[str, Any] = next((r for r in run["ratios"] if r["b"] == model["path"]), {})
        rows.append(
            (
                *(run[key] for key in _SETTING),
                *(model[key] for key in _MODEL),
                *(model["latency_ms"][key] for key in _LATENCY),
                ratio.get("latency"),
                ratio.get("macs"),
            )
        )
    columns = (
        name("backend"),
        *(number(key) for key in _SETTING[1:]),
        name("path"),
        *(number(key) for key in _MODEL[1:]),
        *(number(f"latency_ms_{key}") for key in _LATENCY),
        number("measured_speed_up"),
        number("theoretical_speed_up"),
    )
    return Table(columns=columns, rows=tuple(rows))


def _models(document: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for run in document["runs"]:
        for model in run["models"]:
            yield run, model


def _machine(document: Mapping[str, Any]) -> Table:
    machine = document.get("machine") or {}
    return facts(
        [
            ("device", document["device"]),
            ("processor", machine.get("processor")),
            ("torch", machine.get("torch")),
            ("type of weights", document.get("dtype")),
            ("freed memory is kept", figures.text(document.get("memory_kept"))),
        ]
    )


def _figures(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            *(run[key] for key in _SETTING),
            model["path"],
            *(model["latency_ms"][key] for key in _LATENCY),
            model["images_per_second"],
            model["macs"],
            model["peak_memory_bytes"],
        )
        for run, model in _models(document)
    )
    columns = (
        name("backend"),
        number("threads"),
        number("batch"),
        name("checkpoint"),
        number("ms", _milliseconds),
        number("p10", _milliseconds),
        number("p90", _milliseconds),
        number("images/s", figures.rate),
        number("MACs", figures.count),
        number("peak memory", _mebibytes),
    )
    return Table(columns=columns, rows=rows, title="Latency of a batch")


def _ratios(document: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            *(run[key] for key in _SETTING),
            each["b"],
            each["latency"],
            _interval(each["interval"]),
            each["macs"],
            each["latency_of_macs"],
        )
        for run in document["runs"]
        for each in run["ratios"]
    )
    columns = (
        name("backend"),
        number("threads"),
        number("batch"),
        name("checkpoint"),
        number("measured", figures.times),
        number("95 % interval"),
        number("theoretical (MACs)", figures.times),
        number("measured / theoretical", figures.decimal),
    )
    first = document["models"][0]["path"]
    return Table(columns=columns, rows=rows, title=f"Speed-up over {first}")


def _interval(bounds: Any) -> str:
    low, high = bounds
    return f"{low:.2f} to {high:.2f}"


def _milliseconds(value: Any) -> str:
    return figures.UNKNOWN if value is None else f"{value:.3f}"


def _mebibytes(value: Any) -> str:
    return figures.UNKNOWN if value is None else f"{value / (1 << 20):.1f} MiB"
