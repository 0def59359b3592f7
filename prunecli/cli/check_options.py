"""The options that only `check` has: its reports, and a gate each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

from prunecli.cli import streams
from prunecli.cli.option import GATES, RESULT, argument, option
from prunecli.cli.values import Unfit, number
from prunecli.errors import WrongUse

if TYPE_CHECKING:
    from typer.models import OptionInfo


def _report(text: str) -> str:
    return streams.readable(text, what="REPORT", example="prunecli check - --max-drop 1.0 < report.json")


def _baseline(text: str) -> str:
    return streams.readable(
        text,
        what="--baseline",
        example="prunecli check report.json --baseline - < earlier.json --max-drop 1.0",
    )


def _share(text: str) -> float:
    """A share as 0.4 or 40%; below 0 for what may grow."""
    given = text.strip()
    try:
        value = float(given.removesuffix("%")) / (100 if given.endswith("%") else 1)
    except ValueError:
        value = 1.0
    if not -1 < value < 1:
        raise Unfit("a share between -1 and 1, or in percent", example="0.4")
    return value


def _amount(kind: str, example: str) -> Callable[[str], float]:
    """A parser of amounts of a cost, with a unit; a share is none."""

    def parse(text: str) -> float:
        from prunecli.allocation.targets import read_target

        try:
            found = read_target(f"{kind}={text}")
        except WrongUse:
            found = None
        if found is None or found.is_share:
            raise Unfit(f"an amount such as {example}", example=example)
        return float(found.amount)

    return parse


def _gate(name: str, metavar: str, parse: Callable[[str], float], text: str) -> OptionInfo:
    return option(name, help=text, metavar=metavar, parse=parse, section=GATES)


_FROM_0 = number(0)
_ABOVE_0 = number(0, above=0)
_UP_TO_1 = number(0, most=1)

Reports = Annotated[
    list[str] | None,
    argument(
        "REPORT",
        help="What other commands have printed with --json; - for standard input. A gate is judged in each "
        "report that has a place for what it asks.",
        parse=_report,
    ),
]
Baseline = Annotated[
    str | None,
    option(
        "--baseline",
        help="An earlier report: drops, cuts and latency ratios count from its network, and not from what "
        "the report itself had before.",
        metavar="REPORT",
        parse=_baseline,
        section=GATES,
    ),
]
Junit = Annotated[
    str | None,
    option(
        "--junit",
        help="Write the gates as JUnit XML, a test case each.",
        metavar="FILE.xml",
        parse=streams.file_name,
        section=RESULT,
    ),
]
ExitZero = Annotated[
    bool, option("--exit-zero", help="Tell which gates are missed, and exit 0 all the same.", section=RESULT)
]
MaxDrop = Annotated[
    float | None,
    _gate("--max-drop", "POINTS", _FROM_0, "Percentage points by which accuracy may fall at most."),
]
MinAccuracy = Annotated[
    float | None, _gate("--min-accuracy", "PERCENT", number(0, most=100), "The least accuracy, in percent.")
]
MaxLoss = Annotated[float | None, _gate("--max-loss", "LOSS", _FROM_0, "The highest loss.")]
MinMacsCut = Annotated[
    float | None,
    _gate("--min-macs-cut", "SHARE", _share, "The least share of MACs that must be gone: 0.4 or 40%."),
]
MinParamsCut = Annotated[
    float | None,
    _gate("--min-params-cut", "SHARE", _share, "The least share of parameters that must be gone."),
]
MinSizeCut = Annotated[
    float | None, _gate("--min-size-cut", "SHARE", _share, "The least share of bytes that must be gone.")
]
MaxMacs = Annotated[
    float | None, _gate("--max-macs", "AMOUNT", _amount("macs", "2G"), "The most MACs: 2e9, 2G, 300M.")
]
MaxParams = Annotated[
    float | None, _gate("--max-params", "AMOUNT", _amount("params", "3M"), "The most parameters: 3e6, 3M.")
]
MaxSize = Annotated[
    float | None,
    _gate(
        "--max-size",
        "AMOUNT",
        _amount("size", "10MB"),
        "The largest size: 10MB, 9.5MiB. Of the file that was written, else of the weights.",
    ),
]
MaxLatency = Annotated[
    float | None,
    _gate(
        "--max-latency", "AMOUNT", _amount("latency", "5ms"), "The longest time for a batch (median): 5ms."
    ),
]
MaxLatencyRatio = Annotated[
    float | None,
    _gate("--max-latency-ratio", "RATIO", _ABOVE_0, "The highest measured latency, after ÷ before."),
]
MinSpeedup = Annotated[
    float | None, _gate("--min-speedup", "TIMES", _ABOVE_0, "The least measured speed-up, before ÷ after.")
]
MaxMemory = Annotated[
    float | None, _gate("--max-memory", "AMOUNT", _amount("size", "200MB"), "The highest peak memory: 200MB.")
]
MaxError = Annotated[
    float | None,
    _gate("--max-error", "ERROR", _FROM_0, "The largest absolute error of a proof: 1e-4."),
]
MinAgreement = Annotated[
    float | None,
    _gate(
        "--min-agreement", "SHARE", _UP_TO_1, "How often an export must name the same first class, 0 to 1."
    ),
]
RequireEquivalent = Annotated[
    bool,
    option("--require-equivalent", help="Outputs must have been proved equivalent.", section=GATES),
]
RequireTarget = Annotated[
    bool, option("--require-target", help="The target of prune --target must have been met.", section=GATES)
]
RequireIdentical = Annotated[
    bool, option("--require-identical", help="Two checkpoints must be alike in every bit.", section=GATES)
]


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Every gate; None, or False, is not asked for."""

    max_drop: MaxDrop = None
    min_accuracy: MinAccuracy = None
    max_loss: MaxLoss = None
    min_macs_cut: MinMacsCut = None
    min_params_cut: MinParamsCut = None
    min_size_cut: MinSizeCut = None
    max_macs: MaxMacs = None
    max_params: MaxParams = None
    max_size: MaxSize = None
    max_latency: MaxLatency = None
    max_latency_ratio: MaxLatencyRatio = None
    min_speedup: MinSpeedup = None
    max_memory: MaxMemory = None
    max_error: MaxError = None
    min_agreement: MinAgreement = None
    require_equivalent: RequireEquivalent = False
    require_target: RequireTarget = False
    require_identical: RequireIdentical = False

    def asked(self) -> dict[str, float]:
        """Those that are asked for, as the workflow takes them."""
        given = {each.name.replace("_", "-"): getattr(self, each.name) for each in fields(self)}
        return {name: limit for name, limit in given.items() if limit is not None and limit is not False}
