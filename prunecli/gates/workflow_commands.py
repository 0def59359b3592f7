"""Findings as workflow commands of GitHub Actions, which shows them beside a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prunecli.checkpoints.outputs import STREAM
from prunecli.gates.judging import Finding
from prunecli.gates.reading import label

# What ends a command or a line stands for itself only when it is escaped; the percent sign goes first.
_IN_MESSAGE = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTY = {**_IN_MESSAGE, ":": "%3A", ",": "%2C"}


def annotated(findings: Iterable[Finding], *, level: str = "error") -> tuple[str, ...]:
    """One line for each finding; `level` is "error", "warning" or "notice"."""
    return tuple(_annotation(each, level) for each in findings)


def _annotation(finding: Finding, level: str) -> str:
    properties = {"title": f"prunecli check: {finding.gate}"}
    if finding.file != STREAM:
        properties = {"file": label(finding.file), **properties}
    written = ",".join(f"{name}={_escaped(text, _IN_PROPERTY)}" for name, text in properties.items())
    return f"::{level} {written}::{_escaped(finding.line, _IN_MESSAGE)}"


def _escaped(text: str, marks: Mapping[str, str]) -> str:
    for mark, written in marks.items():
        text = text.replace(mark, written)
    return text
