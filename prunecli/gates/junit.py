"""Findings as JUnit XML: a suite a report, a test case a gate, a failure where it was missed.

Readers differ in what they show: GitLab tells cases apart by class and name together and shows the text of
a failure, Jenkins groups by the part of the class before its last dot and shows the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from prunecli.gates.judging import Finding, missed
from prunecli.gates.reading import label

_NOT_MEASURED = "0"


def as_junit(findings: Sequence[Finding]) -> bytes:
    """The whole file; the same findings give the same bytes."""
    root = ElementTree.Element("testsuites", {"name": "prunecli check", **_counts(findings)})
    for file in dict.fromkeys(each.file for each in findings):
        own = [each for each in findings if each.file == file]
        suite = ElementTree.SubElement(root, "testsuite", {"name": label(file), **_counts(own)})
        for each in own:
            _add_case(suite, each)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _counts(findings: Sequence[Finding]) -> dict[str, str]:
    return {
        "tests": str(len(findings)),
        "failures": str(len(missed(findings))),
        **{"errors": "0", "skipped": "0", "time": _NOT_MEASURED},
    }


def _add_case(suite: ElementTree.Element, finding: Finding) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"prunecli.check.{finding.command}",
        name=f"{finding.gate} ({label(finding.file)})",
        file=label(finding.file),
        time=_NOT_MEASURED,
    )
    if not finding.met:
        failure = ElementTree.SubElement(case, "failure", message=finding.line, type="GateNotMet")
        failure.text = finding.line
