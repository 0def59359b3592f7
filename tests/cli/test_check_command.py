"""What `prunecli check` reads, refuses and prints, and what GitHub Actions gets of it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest
from gates.printed import PRINTED

from prunecli.cli.check_options import Gates
from prunecli.gates.table import GATES

MISSED = ("check", "prune.json", "--max-drop", "1")
LINE = "accuracy fell by 7.25 points, more than 1 point (prune.json)"


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch):
    """A file of what each command prints, in the working folder; no CI around."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    for command, document in PRINTED.items():
        whole = {"schema": f"prunecli.{command}/1", "version": "0.1", **document}
        (tmp_path / f"{command}.json").write_text(json.dumps(whole))
    return tmp_path


def test_there_is_an_option_for_every_gate():
    assert set(Gates.__dataclass_fields__) == {name.replace("-", "_") for name in GATES}
    assert Gates().asked() == {}
    assert Gates(max_drop=0.0, require_target=True).asked() == {"max-drop": 0.0, "require-target": True}


def test_what_was_checked_is_listed(cli):
    outcome = cli("check", "prune.json", "--max-drop", "8", "--min-macs-cut", "75%", "--require-equivalent")
    assert (outcome.code, outcome.err) == (0, "")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["max-drop", "8", "points", "7.25", "points", "met", "prune.json"] in lines
    assert ["min-macs-cut", "75", "%", "75.0", "%", "met", "prune.json"] in lines
    assert ["require-equivalent", "yes", "yes", "met", "prune.json"] in lines
    assert lines[-1] == ["gates", "met", "3", "of", "3"]


def test_a_missed_gate_is_one_line_and_exit_1(cli):
    outcome = cli(*MISSED, "--max-size", "1kB")
    assert outcome.code == 1
    assert outcome.err.splitlines() == [
        f"error: {LINE}",
        "  the network takes 1,300 bytes, more than 1,000 bytes (prune.json)",
    ]
    assert "missed" in outcome.out
    assert cli(*MISSED, "-q").err == f"error: {LINE}\n"


def test_exit_zero_only_tells(cli):
    outcome = cli(*MISSED, "--exit-zero", "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out)["met"] is False


def test_json_keeps_the_agreed_keys(cli):
    document = json.loads(cli(*MISSED, "--json").out)
    assert list(document)[:2] == ["schema", "version"]
    assert document["schema"] == "prunecli.check/1"
    (gate,) = document["gates"]
    assert {key: gate[key] for key in ("gate", "asked", "found", "met", "file")} == {
        **{"gate": "max-drop", "asked": 1.0, "found": 7.25, "met": False, "file": "prune.json"}
    }


def test_csv_has_raw_amounts(cli):
    rows = list(
        csv.DictReader(io.StringIO(cli("check", "bench.json", "--max-latency", "5ms", "--format", "csv").out))
    )
    assert (rows[0]["asked"], rows[0]["found"], rows[0]["unit"]) == ("0.005", "0.001", "seconds")
    assert rows[0]["where"] == "1.pt, eager, threads 2, batch 1"


def test_a_wide_table_is_not_folded_in_a_pipe(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    row = next(
        line for line in cli("check", "bench.json", "--min-speedup", "1").out.splitlines() if "2.02x" in line
    )
    assert row.endswith("bench.json: 1.pt, eager, threads 2, batch 1")


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ((), 2, "check needs a report"),
        (("prune.json",), 2, "check needs a gate"),
        (("prune.json", "--max-drop", "-1"), 2, "--max-drop takes a number from 0"),
        (("prune.json", "--min-macs-cut", "40"), 2, "--min-macs-cut takes a share between -1 and 1"),
        (("prune.json", "--min-macs-cut", "x"), 2, "for example: --min-macs-cut 0.4"),
        (("prune.json", "--max-macs", "0.5"), 2, "--max-macs takes an amount such as 2G"),
        (("prune.json", "--max-size", "10parsecs"), 2, "for example: --max-size 10MB"),
        (("prune.json", "--max-latency", "5"), 2, "for example: --max-latency 5ms"),
        (("prune.json", "--max-drp", "5"), 2, "did you mean '--max-drop'?"),
        (("prune.json", "--max-drop", "1", "--junit", "-"), 2, "--junit takes the path of a file"),
        (("prune.json", "--max-drop", "1", "--junit", "no/check.xml"), 2, "/no does not exist"),
        (("prune.json", "--min-speedup", "2"), 2, "says nothing of a latency"),
        (("none.json", "--max-drop", "1"), 3, "none.json cannot be read: No such file"),
    ],
)
def test_what_cannot_be_is_refused(cli, arguments, code, line):
    outcome = cli("check", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert line in outcome.err


@pytest.mark.parametrize(
    ("option", "text", "amount"),
    [
        ("--max-macs", "4G", 4e9),
        ("--max-params", "3e6", 3e6),
        ("--max-size", "1.5MiB", 1.5 * 2**20),
        ("--min-params-cut", "-2%", -0.02),
        ("--max-error", "1e-4", 1e-4),
    ],
)
def test_amounts_and_shares_are_read(cli, option, text, amount):
    document = json.loads(cli("check", "prune.json", option, text, "--json").out)
    assert document["gates"][0]["asked"] == pytest.approx(amount)


def test_gates_and_files_may_stand_in_a_configuration_further_up(cli, reports, monkeypatch):
    (reports / "prunecli.toml").write_text(
        'max-drop = 0\nrequire-equivalent = true\nbaseline = "evaluate.json"\njunit = "check.xml"\n'
    )
    (reports / "ci").mkdir()
    monkeypatch.chdir(reports / "ci")
    outcome = cli("check", "../prune.json", "--max-drop", "6", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["gates"][0]["found"] == 5.75
    assert b'tests="2"' in (reports / "check.xml").read_bytes()


def test_a_pipe_is_read_and_loads_no_torch(reports):
    code = (
        "import sys; from prunecli.__main__ import main; sys.argv[1:] = ['check', '-', '--max-drop', '8'];"
        "sys.exit(main() or any(name in sys.modules for name in ('torch', 'numpy', 'rich')))"
    )
    content = (reports / "prune.json").read_bytes()
    ran = subprocess.run(
        [sys.executable, "-c", code], input=content, capture_output=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert b"standard input" in ran.stdout


@pytest.mark.parametrize(("extra", "level", "code"), [([], "error", 1), (["--exit-zero"], "warning", 0)])
def test_github_gets_an_annotation_beside_a_clean_result(cli, monkeypatch, extra, level, code):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    outcome = cli(*MISSED, "--json", "-q", *extra)
    assert outcome.code == code
    assert json.loads(outcome.out)["met"] is False
    assert (
        outcome.err.splitlines()[0] == f"::{level} file=prune.json,title=prunecli check%3A max-drop::{LINE}"
    )
    assert "::" not in cli("check", "prune.json", "--max-drop", "8").err


def test_the_summary_of_a_step_is_added_to(cli, monkeypatch, reports):
    summary = reports / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert cli(*MISSED).code == 1
    text = summary.read_text()
    assert text.startswith("before\n### Gates\n")
    assert "| max-drop | 1 point | 7.25 points | missed | prune.json |" in text
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(reports / "no" / "summary.md"))
    outcome = cli("check", "prune.json", "--max-drop", "8")
    assert (outcome.code, outcome.err) == (0, "the step summary was not written: No such file or directory\n")
