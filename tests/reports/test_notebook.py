"""Results in a notebook: tables of the report, every string escaped, nothing printed, no torch needed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from reports.documents import HOSTILE, benched, compared, finetuned, inspected, pruned, scored, sensitive

from prunecli.reports.notebook import MOST_ROWS, ShownInNotebooks, as_html
from prunecli.workflows.inspect import inspect
from prunecli.workflows.opening import Opening

DOCUMENTS = [benched(), compared(), finetuned(), inspected(), pruned(), scored(), sensitive()]
RESULTS = {
    "bench": "bench.BenchResult",
    "check": "check.CheckResult",
    "compare": "compare.CompareResult",
    "diff": "diff.DiffResult",
    "evaluate": "evaluate.EvaluateResult",
    "export": "export.ExportResult",
    "finetune": "finetune.FinetuneResult",
    "inspect": "inspect.Inspection",
    "prune": "prune_result.PruneResult",
    "score": "score.ScoreResult",
    "sensitivity": "sensitivity.SensitivityResult",
    "sweep": "sweep_result.SweepResult",
}


class Tags(HTMLParser):
    """The tags of a text, closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.found.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["schema"])
def test_tables_are_whole_and_names_are_text(document):
    text = as_html(document)
    assert HOSTILE not in text
    assert "script" not in Tags(text).found
    assert text.count("<table>") > 1


def test_numbers_are_those_of_the_report():
    text = as_html(pruned())
    assert ">50.2</td>" in text
    assert "<li>The theoretical speed-up, by MACs, is 2.01x.</li>" in text
    assert "To repeat it" not in text


def test_a_document_without_a_report_is_shown_by_its_keys():
    rows = [{"layer": HOSTILE, "a": 16, "b": 8, "more": [1]}]
    text = as_html(
        {"schema": "prunecli.diff/1", "version": "0", "accuracy": None, "of": {"macs": 7}, "rows": rows}
    )
    assert Tags(text).found.count("table") == 2
    assert "<th>of macs</th><td>7</td>" in text
    assert "&lt;script&gt;" in text
    assert "more" not in text


def test_long_tables_end_with_a_word_on_the_rest():
    layer = pruned()["layers"][1]
    text = as_html(pruned(layers=[{**layer, "name": f"layer{number}"} for number in range(MOST_ROWS + 7)]))
    assert f"layer{MOST_ROWS - 1}<" in text
    assert f"layer{MOST_ROWS}<" not in text
    assert "<p>and 7 more rows</p>" in text


@pytest.mark.parametrize("command", RESULTS)
def test_every_result_shows_itself(command):
    module, name = RESULTS[command].split(".")
    result = getattr(importlib.import_module(f"prunecli.workflows.{module}"), name)
    assert issubclass(result, ShownInNotebooks)
    assert result._command == command


def test_a_real_result(capsys):
    text = inspect(Opening())._repr_html_()
    assert "digits/resnet8" in text
    assert "<summary>conv1: 16 channels may leave</summary>" in text
    assert capsys.readouterr().out == ""


def test_neither_torch_nor_jinja_is_needed():
    code = (
        "import sys; from prunecli.reports.notebook import as_html;"
        "as_html({'schema': 'prunecli.evaluate/1', 'accuracy': 97.5});"
        "assert not {'torch', 'jinja2', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
