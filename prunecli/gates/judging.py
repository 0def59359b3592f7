"""Whether printed documents keep to the gates that are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prunecli.errors import InputRefused, WrongUse, unknown_name
from prunecli.gates.figures import WHOLE, NotSaid
from prunecli.gates.reading import Report, label
from prunecli.gates.table import GATES, Gate
from prunecli.gates.wording import FLAG

_ROUNDING = 1e-9
_GATES_ELSEWHERE = {"compare": "compare has a gate of its own: --fail-above"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One gate in one report: what was asked, what was found, and on which side of the limit that lies.

    `where` is the setting and network that a benchmark was judged by, the worst of all.
    """

    gate: str
    asked: float
    found: float
    met: bool
    file: str
    command: str
    where: str | None = None

    @property
    def line(self) -> str:
        """What was missed, in words."""
        of = label(self.file) if self.where is None else f"{label(self.file)}: {self.where}"
        return f"{GATES[self.gate].line(self.found, self.asked)} ({of})"

    def document(self) -> dict[str, Any]:
        """As JSON values; asked and found are numbers in `unit`, or truth values for a flag."""
        gate = GATES[self.gate]
        return {
            "gate": self.gate,
            "asked": bool(self.asked) if gate.unit is FLAG else self.asked,
            "found": self.found,
            "met": self.met,
            "file": self.file,
            "unit": gate.unit.name,
            "where": self.where,
        }


def check_asked(asked: Mapping[str, float], *, baseline: str | None) -> None:
    """Raise WrongUse for no gate, an unknown one, a limit that is no number, a baseline without use."""
    if not asked:
        raise WrongUse(
            "check needs a gate",
            hints=["for example: prunecli check report.json --max-drop 1.0 --min-macs-cut 0.4"],
        )
    for name, limit in asked.items():
        if name not in GATES:
            raise unknown_name("gate", name, GATES)
        if not math.isfinite(limit):
            raise WrongUse(f"--{name} takes a finite number, not {limit}")
    if baseline is not None and not any(GATES[name].change for name in asked):
        changes = ", ".join(gate.option for gate in GATES.values() if gate.change)
        raise WrongUse(
            "--baseline says from where a change counts, and no gate on a change is asked for",
            hints=[f"valid with it: {changes}"],
        )


def judge(
    asked: Mapping[str, float], reports: Sequence[Report], *, baseline: Report | None = None
) -> tuple[Finding, ...]:
    """Judge each gate in every report that has a place for what it asks; changes count from the baseline.

    Raises WrongUse for a gate that no report has a place for and for a report without a gate,
    InputRefused where the place is empty.
    """
    found = []
    for name, limit in asked.items():
        gate = GATES[name]
        able = [
            each for each in reports if gate.answered_by(each.command, with_baseline=baseline is not None)
        ]
        if not able:
            raise _unanswered(gate, reports, with_baseline=baseline is not None)
        found += [_finding(gate, limit, each, baseline) for each in able]
    judged = {each.file for each in found}
    for report in reports:
        if report.path not in judged:
            raise WrongUse(
                f"{report.label}, a report of {report.command}, answers none of the gates",
                hints=_hints([report]),
            )
    return tuple(found)


def missed(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gates that were not met."""
    return tuple(each for each in findings if not each.met)


def _finding(gate: Gate, limit: float, report: Report, baseline: Report | None) -> Finding:
    values = _values(gate, report, baseline)
    where, found = (max if gate.at_most else min)(values.items(), key=lambda each: each[1])
    near = math.isclose(found, limit, rel_tol=_ROUNDING)
    return Finding(
        gate=gate.name,
        asked=limit,
        found=found,
        met=near or (found < limit if gate.at_most else found > limit),
        file=report.path,
        command=report.command,
        where=where or None,
    )


def _values(gate: Gate, report: Report, baseline: Report | None) -> dict[str, float]:
    """What the gate judges, by where it holds."""
    figure, command = gate.figure, report.command
    try:
        if gate.change is None:
            return figure.after[command](report.document)
        if baseline is None:
            pairs = figure.change(command, report.document)
        else:
            pairs = _since(gate, report, baseline)
        return {where: gate.change(before, after) for where, (before, after) in pairs.items()}
    except NotSaid as error:
        raise _not_said(gate, report, error) from None
    except ZeroDivisionError:
        raise InputRefused(
            f"{report.label} cannot answer {gate.option}: a share of 0 is not defined"
        ) from None


def _since(gate: Gate, report: Report, baseline: Report) -> dict[str, tuple[float, float]]:
    """The baseline's network before, the report's after."""
    figure = gate.figure
    if baseline.command not in figure.after:
        raise WrongUse(
            f"{gate.option} cannot count from {baseline.label}: a report of {baseline.command} says nothing "
            f"of {figure.words}",
            hints=[f"reports that do: {', '.join(figure.after)}"],
        )
    try:
        before = figure.after[baseline.command](baseline.document)
    except NotSaid as error:
        raise _not_said(gate, baseline, error) from None
    pairs = {}
    for where, value in figure.after[report.command](report.document).items():
        counted = before.get(where, before.get(WHOLE))
        if counted is None:
            raise InputRefused(
                f"{baseline.label} says nothing of {where}, so that {gate.option} has nothing to count from",
                hints=[f"it has: {'; '.join(before)}"],
            )
        pairs[where] = (counted, value)
    return pairs


def _not_said(gate: Gate, report: Report, error: NotSaid) -> InputRefused:
    kind = "truth value" if gate.unit is FLAG else "number"
    return InputRefused(
        f"{report.label} cannot answer {gate.option}: it has no {kind} in {error.place}",
        hints=[gate.figure.hint] if gate.figure.hint else [],
    )


def _unanswered(gate: Gate, reports: Sequence[Report], *, with_baseline: bool) -> WrongUse:
    kinds = " or ".join(dict.fromkeys(each.command for each in reports))
    able = [name for name in gate.figure.after if gate.answered_by(name, with_baseline=with_baseline)]
    counted = gate.change is not None and any(each.command in gate.figure.after for each in reports)
    if counted:
        return WrongUse(
            f"{gate.option} needs something to count from: a report of {kinds} knows one network only",
            hints=[
                f"give an earlier report: --baseline FILE, or a report of: {', '.join(able)}",
                *_hints(reports),
            ],
        )
    return WrongUse(
        f"{gate.option} cannot be answered: a report of {kinds} says nothing of {gate.figure.words}",
        hints=[f"reports that do: {', '.join(able)}", *_hints(reports)],
    )


def _hints(reports: Sequence[Report]) -> list[str]:
    """What can be asked of reports of these commands."""
    hints = []
    for command in dict.fromkeys(each.command for each in reports):
        known = [gate.option for gate in GATES.values() if gate.answered_by(command, with_baseline=False)]
        said = f"gates for {command}: {', '.join(known)}" if known else f"there is no gate for {command}"
        hints.append(_GATES_ELSEWHERE.get(command, said))
    return hints
