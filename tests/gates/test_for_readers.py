"""JUnit XML and workflow commands, as their readers want them."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from gates.printed import printed

from prunecli.gates.judging import judge
from prunecli.gates.junit import as_junit
from prunecli.gates.workflow_commands import annotated

ASKED = {"max-drop": 1.0, "max-size": 1400, "require-equivalent": 1}
FOUND = judge(ASKED, [printed("prune"), printed("export")])
ODD = "a<b>&\"'\x1b\x00\n,:%\udc80é.json"


def test_a_suite_a_report_and_a_case_a_gate():
    root = ElementTree.fromstring(as_junit(FOUND))
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("errors")) == (
        "testsuites",
        "5",
        "2",
        "0",
    )
    assert [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in root] == [
        ("prune.json", "3", "1"),
        ("export.json", "2", "1"),
    ]
    cases = list(root.iter("testcase"))
    assert [case.get("name") for case in root[0]] == [
        *("max-drop (prune.json)", "max-size (prune.json)", "require-equivalent (prune.json)"),
    ]
    assert all(case.get("time") is not None and case.get("file") for case in cases)
    assert {case.get("classname") for case in cases} == {"prunecli.check.prune", "prunecli.check.export"}
    (failure,) = root[0].iter("failure")
    line = "accuracy fell by 7.25 points, more than 1 point (prune.json)"
    assert (failure.get("message"), failure.text, failure.get("type")) == (line, line, "GateNotMet")


def test_no_two_cases_have_one_class_and_name():
    again = [replace(each, file="later/prune.json") for each in FOUND]
    cases = ElementTree.fromstring(as_junit([*FOUND, *again])).iter("testcase")
    keys = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(keys)) == len(keys) == 2 * len(FOUND)


def test_the_same_findings_give_the_same_bytes():
    assert as_junit(FOUND) == as_junit(FOUND)
    assert as_junit(FOUND).startswith(b"<?xml version='1.0' encoding='utf-8'?>\n<testsuites ")


def test_odd_names_give_sound_xml_and_one_line():
    odd = [replace(each, file=ODD) for each in FOUND]
    root = ElementTree.fromstring(as_junit(odd))
    assert root[0].get("name") == "a<b>&\"'\\x1b\\x00\\x0a,:%\\x80é.json"
    for line in annotated(odd):
        assert line.isprintable()
        assert re.fullmatch(r"::error file=[^:,]*,title=[^:,]*::[^\n]*", line)


def test_marks_of_a_workflow_command_are_escaped():
    (finding,) = judge({"min-accuracy": 99.0}, [printed("prune")])
    (line,) = annotated([replace(finding, file="100%,a:b.json")])
    assert line == (
        "::error file=100%25%2Ca%3Ab.json,title=prunecli check%3A min-accuracy::"
        "accuracy is 90.25 %25, less than 99 %25 (100%25,a:b.json)"
    )


@pytest.mark.parametrize("level", ["error", "warning"])
def test_standard_input_is_no_file_to_annotate(level):
    (finding,) = judge({"require-target": 1}, [printed("prune")])
    (line,) = annotated([replace(finding, file="-")], level=level)
    assert (
        line == f"::{level} title=prunecli check%3A require-target::the target was not met (standard input)"
    )
