"""The story of a check: files in, findings and a JUnit file out, a gate that ends the command."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from gates.printed import PRINTED

from prunecli.errors import InputRefused, WrongUse
from prunecli.workflows.check import check


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """A file of what each command prints, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for command, document in PRINTED.items():
        whole = {"schema": f"prunecli.{command}/1", "version": "0.1", **document}
        (tmp_path / f"{command}.json").write_text(json.dumps(whole))
    return tmp_path


def test_all_met_is_no_gate(reports):
    result = check(["prune.json", "export.json"], gates={"require-equivalent": True, "min-macs-cut": 0.75})
    assert result.met
    assert result.gate is None
    document = result.document()
    assert (document["met"], document["baseline"], document["output"]) == (True, None, None)
    assert [each["gate"] for each in document["gates"]] == ["require-equivalent"] * 2 + ["min-macs-cut"]
    assert document["files"] == [
        {"path": f"{name}.json", "schema": f"prunecli.{name}/1", "version": "0.1"}
        for name in ("prune", "export")
    ]


def test_each_missed_gate_is_a_line(reports):
    result = check(["prune.json"], gates={"max-drop": 1, "min-macs-cut": 0.8, "max-params": 1000})
    gate = result.gate
    assert gate.exit_code == 1
    assert (gate.message, gate.hints) == (
        "accuracy fell by 7.25 points, more than 1 point (prune.json)",
        ("MACs were cut by 75.0 %, less than 80 % (prune.json)",),
    )


@pytest.mark.parametrize(
    ("count", "last"), [(4, "the network has 250"), (5, "and 2 more"), (6, "and 3 more")]
)
def test_lines_beyond_those_of_an_error_are_counted(reports, count, last):
    limits = {
        "max-drop": 1,
        "min-accuracy": 99,
        "max-macs": 1,
        "max-params": 1,
        "max-size": 1,
        "max-error": 0,
    }
    asked = dict(list(limits.items())[:count])
    gate = check(["prune.json"], gates=asked).gate
    assert len(gate.hints) == 3
    assert gate.hints[-1].startswith(last)


def test_a_forgiving_check_only_tells(reports):
    result = check(["prune.json"], gates={"max-drop": 1}, forgiving=True)
    assert (result.met, result.gate) == (False, None)


def test_the_baseline_is_named(reports):
    result = check(["finetune.json"], gates={"max-drop": 2}, baseline="evaluate.json")
    assert result.findings[0].found == 1.0
    assert result.document()["baseline"]["path"] == "evaluate.json"


def test_junit_is_written_whole_and_not_over_another_file(reports):
    asked = {"max-drop": 1}
    result = check(["prune.json"], gates=asked, junit="check.xml")
    content = (reports / "check.xml").read_bytes()
    assert ElementTree.fromstring(content).get("failures") == "1"
    assert result.document()["output"]["bytes"] == len(content)
    with pytest.raises(WrongUse, match="exists"):
        check(["prune.json"], gates=asked, junit="check.xml")
    with pytest.raises(WrongUse, match="is the input itself"):
        check(["prune.json"], gates=asked, junit="prune.json", force=True)
    check(["prune.json"], gates={"max-drop": 9}, junit="check.xml", force=True)
    assert ElementTree.parse(reports / "check.xml").getroot().get("failures") == "0"


def test_a_refused_check_writes_nothing(reports):
    with pytest.raises(InputRefused):
        check(["none.json"], gates={"max-drop": 1}, junit="check.xml")
    with pytest.raises(WrongUse, match="answers none"):
        check(["prune.json", "inspect.json"], gates={"max-drop": 1}, junit="check.xml")
    assert not (reports / "check.xml").exists()


def test_a_report_named_twice_is_judged_once(reports):
    assert len(check(["prune.json", "prune.json"], gates={"max-drop": 9}).findings) == 1


def test_what_cannot_be_is_refused_before_files_are_read(reports):
    with pytest.raises(WrongUse, match="needs a report"):
        check([], gates={"max-drop": 1})
    with pytest.raises(WrongUse, match="unknown gate"):
        check(["none.json"], gates={"drop": 1})
    with pytest.raises(WrongUse, match="both come from standard input"):
        check(["-"], gates={"max-drop": 1}, baseline="-")
