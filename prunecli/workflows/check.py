"""Whether what other commands have printed keeps to limits: the gates of a continuous integration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from prunecli.checkpoints import Written, check_output, write_data
from prunecli.checkpoints.outputs import STREAM
from prunecli.errors import MAX_HINTS, GateNotMet, WrongUse
from prunecli.gates.judging import Finding, check_asked, judge, missed
from prunecli.gates.junit import as_junit
from prunecli.gates.reading import Report, read_report
from prunecli.reports.notebook import ShownInNotebooks


@dataclass(frozen=True, kw_only=True)
class CheckResult(ShownInNotebooks, command="check"):
    """Every gate in every report that it was judged in; `forgiving` is for a run that only tells."""

    findings: tuple[Finding, ...]
    reports: tuple[Report, ...]
    baseline: Report | None
    forgiving: bool
    written: Written | None
    notes: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Whether all gates are met."""
        return not self.missed

    @property
    def missed(self) -> tuple[Finding, ...]:
        """The gates that are not met."""
        return missed(self.findings)

    @property
    def gate(self) -> GateNotMet | None:
        """What ends the command, one line a gate; those beyond the lines of an error are counted."""
        lines = [each.line for each in self.missed]
        if not lines or self.forgiving:
            return None
        if len(lines) > 1 + MAX_HINTS:
            told = MAX_HINTS
            lines = [*lines[:told], f"and {len(lines) - told} more, as the result says"]
        return GateNotMet(lines[0], hints=lines[1:])

    def document(self) -> dict[str, Any]:
        """The JSON of `check`."""
        return {
            "met": self.met,
            "gates": [each.document() for each in self.findings],
            "files": [_origin(each) for each in self.reports],
            "baseline": None if self.baseline is None else _origin(self.baseline),
            "output": None if self.written is None else asdict(self.written),
        }


def check(
    reports: Sequence[str],
    *,
    gates: Mapping[str, float],
    baseline: str | None = None,
    junit: str | None = None,
    forgiving: bool = False,
    force: bool = False,
) -> CheckResult:
    """Judge gates in JSON documents: names of `gates.table.GATES` with a limit each, True for a requirement.

    `reports` are paths of what commands have printed, "-" for standard input. A change counts from the
    network of the report `baseline`, else from the one that the report itself had before. `junit` is an XML
    file to write; `forgiving` has no gate end the command. Raises WrongUse for a gate that cannot be answered
    by these reports, and as `check_output` does, InputRefused for a file that is no report or leaves open
    what is asked.
    """
    paths = tuple(dict.fromkeys(reports))
    if not paths:
        raise WrongUse(
            "check needs a report, a JSON document of another command",
            hints=["for example: prunecli prune --ratio 0.5 --json | prunecli check - --min-macs-cut 0.4"],
        )
    check_asked(gates, baseline=baseline)
    if baseline == STREAM and STREAM in paths:
        raise WrongUse("a report and its baseline cannot both come from standard input")
    if junit is not None:
        inputs = [path for path in (*paths, baseline) if path is not None and path != STREAM]
        check_output(junit, inputs=inputs, force=force)
    read = tuple(read_report(path) for path in paths)
    origin = None if baseline is None else read_report(baseline)
    findings = judge(gates, read, baseline=origin)
    written = None if junit is None else write_data(junit, as_junit(findings), force=force)
    return CheckResult(findings=findings, reports=read, baseline=origin, forgiving=forgiving, written=written)


def _origin(report: Report) -> dict[str, Any]:
    return {
        "path": report.path,
        "schema": report.document["schema"],
        "version": report.document.get("version"),
    }
