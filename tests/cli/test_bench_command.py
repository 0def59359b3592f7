"""What `prunecli bench` hands to its workflow, what it refuses, and how its figures are written."""

from __future__ import annotations

import csv
import io
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

FIGURES = {"macs": 4000, "params": 1000, "images_per_second": 500.0, "peak_memory_bytes": 3 << 20}
WHOLE = {**FIGURES, "path": "m.pt", "latency_ms": {"median": 2.0, "p10": 1.5, "p90": 2.5}}
SMALL = {
    **FIGURES,
    "path": "small.pt",
    "macs": 1000,
    "latency_ms": {"median": 1.0, "p10": 0.75, "p90": 1.25},
    "peak_memory_bytes": None,
}
RATIO = {
    "a": "m.pt",
    "b": "small.pt",
    "latency": 2.0,
    "interval": [1.9, 2.1],
    "macs": 4.0,
    "latency_of_macs": 0.5,
}
RUN = {"backend": "eager", "threads": 2, "batch": 1, "models": [WHOLE, SMALL], "ratios": [RATIO]}
DOCUMENT = {
    "device": "cpu",
    **RUN,
    "dtype": None,
    "memory_kept": False,
    "machine": {"processor": "a processor", "torch": "2.0"},
    "runs": [{**RUN, "rounds": 9}, {**RUN, "backend": "compile", "rounds": 8}],
}


@pytest.fixture
def bench(monkeypatch, workflows, result_type):
    """A workflow that records the openings and the keywords."""
    calls = []

    def work(openings, **given):
        calls.append((openings, given))
        return result_type(DOCUMENT)

    module = ModuleType("prunecli.workflows.bench")
    module.bench = work
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sys.modules["prunecli.workflows.opening"], "Opening", SimpleNamespace)
    return calls


def test_without_anything_the_sample_is_timed_once(cli, bench):
    assert cli("bench").code == 0
    ((openings, given),) = bench
    assert [each.checkpoint for each in openings] == [None]
    assert given["backends"] == ("eager",)
    assert (given["threads"], given["batch_sizes"]) == ((), (1,))
    assert (given["rounds"], given["memory"], given["keep_memory"], given["dtype"]) == (
        None,
        True,
        False,
        None,
    )


def test_lists_come_by_commas_and_by_repetition(cli, bench):
    line = ["bench", "m.pt", "small.pt", "--backend", "eager,compile", "--backend", "onnxruntime"]
    assert cli(*line, "--threads", "1,2", "--batch-size", "1,16", "--input-shape", "3x8x8").code == 0
    ((openings, given),) = bench
    assert [each.checkpoint for each in openings] == ["m.pt", "small.pt"]
    assert [each.input_shape for each in openings] == [(3, 8, 8)] * 2
    assert given["backends"] == ("eager", "compile", "onnxruntime")
    assert (given["threads"], given["batch_sizes"]) == ((1, 2), (1, 16))


def test_onnx_files_are_run_by_onnxruntime(cli, bench):
    assert cli("bench", "a.onnx", "b.onnx").code == 0
    assert cli("bench", "a.onnx", "b.pt").code == 0
    assert [given["backends"] for _, given in bench] == [("onnxruntime",), ("eager",)]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--backend", "eagr"], "did you mean 'eager'?"),
        (["--threads", "0"], "for example: --threads 1,2,4"),
        (["--batch-size", "1,x"], "for example: --batch-size 1,16"),
        (["--dtype", "fp8"], "valid: "),
        (["--seconds", "0"], "--seconds takes a number greater than 0"),
    ],
)
def test_what_cannot_be_is_refused(cli, bench, arguments, line):
    outcome = cli("bench", *arguments)
    assert outcome.code == 2
    assert line in outcome.err
    assert bench == []


def test_the_configured_checkpoint_is_one_of_a_list(cli, bench, tmp_path):
    (tmp_path / "prunecli.toml").write_text('checkpoint = "m.pt"\n')
    outcome = cli("bench")
    assert [each.checkpoint for each in bench[0][0]] == ["m.pt"]
    assert "checkpoint: m.pt (from prunecli.toml)" in outcome.err


def test_json_keeps_the_agreed_keys(cli, bench):
    document = json.loads(cli("bench", "--json").out)
    assert document["schema"] == "prunecli.bench/1"
    assert {"device", "threads", "batch", "models", "ratios"} <= set(document)
    assert document["runs"][1]["backend"] == "compile"


def test_the_table_says_measured_and_theoretical(cli, bench):
    out = cli("bench").out
    assert "Speed-up over m.pt" in out
    assert "measured" in out
    assert "theoretical (MACs)" in out
    row = next(line for line in out.splitlines() if line.startswith("compile") and "4.00x" in line)
    assert row.split()[:5] == ["compile", "2", "1", "small.pt", "2.00x"]
    assert "3.0 MiB" in out


def test_csv_has_a_row_a_setting_and_network(cli, bench):
    rows = list(csv.DictReader(io.StringIO(cli("bench", "--format", "csv").out)))
    assert [(row["backend"], row["path"]) for row in rows] == [
        ("eager", "m.pt"),
        ("eager", "small.pt"),
        ("compile", "m.pt"),
        ("compile", "small.pt"),
    ]
    assert [row["measured_speed_up"] for row in rows] == ["", "2.0", "", "2.0"]
    assert rows[1]["peak_memory_bytes"] == ""
