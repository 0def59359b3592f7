"""Looking at a checkpoint: what can go, which widths are slow, the channel graph in a file and a report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attention_networks import Encoder

from prunecli.errors import WrongUse
from prunecli.graph.channel_graph import build_graph
from prunecli.reports.graphs.wording import coupling
from prunecli.workflows import inspect as module
from prunecli.workflows.inspect import inspect, with_links
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opening
from prunecli.workflows.prune import prune
from prunecli.workflows.rounding import Rounding


@pytest.fixture(scope="module")
def sample():
    return inspect(Opening())


def test_groups_flow_and_widths_are_in_the_document(sample):
    document = sample.document()
    stream = document["groups"][0]
    assert stream["coupled_by"] == [{"how": "sum", "where": ["layer1.0"]}]
    assert {member["role"] for member in stream["members"]} == {"makes", "reads", "follows"}
    assert [row["layer"] for row in document["flow"]][:2] == ["conv1", "layer1.0.conv1"]
    assert document["widths"] == {"multiple": 8, "measured": False, "slow": []}
    assert "output" not in document


def test_odd_widths_of_what_can_go_are_slow(tmp_path):
    small = tmp_path / "small.safetensors"
    prune(Opening(), ratio=0.3, output=str(small))
    slow = inspect(Opening(checkpoint=str(small))).document()["widths"]["slow"]
    assert "layer1.0.conv1" in slow
    assert "linear" not in slow  # its 10 channels are the classes


def test_what_the_machine_likes_is_measured_when_asked_for(monkeypatch):
    def measured(bounds, graph, *, measure, device):
        assert (measure, device) == (True, "cpu")
        return Rounding(bounds=type(bounds)(round_to=32), measured=True, notes=("likes 32",))

    monkeypatch.setattr(module, "rounding", measured)
    found = inspect(Opening(), widths=True)
    assert found.document()["widths"]["slow"][0] == "conv1"
    assert "likes 32" in found.notes


def test_the_graph_and_a_report_are_written(tmp_path):
    drawn, report = tmp_path / "graph.svg", tmp_path / "report.json"
    found = inspect(Opening(), graph="svg", output=str(drawn), keep=Keepsakes(report=str(report)))
    assert drawn.read_text() == found.drawing("svg")
    assert found.document()["output"]["path"] == str(drawn)
    assert json.loads(report.read_text())["schema"] == "prunecli.inspect/1"


def test_an_output_that_is_there_is_kept(tmp_path):
    kept = tmp_path / "graph.txt"
    kept.write_text("mine")
    with pytest.raises(WrongUse):
        inspect(Opening(), graph="text", output=str(kept))
    assert kept.read_text() == "mine"


def test_a_dash_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert inspect(Opening(), graph="text", output="-").output is None
    assert [*Path().iterdir()] == []


def test_what_leaves_with_how_many_channels_is_said():
    groups = {
        group["name"]: group for group in with_links(build_graph(Encoder(32, (8, 8)), (3, 8, 8)))["groups"]
    }
    assert groups["embed"]["linked"] == [{"unit": 4, "with": {"attention.0": 1, "attention.1": 1}}]
    assert groups["mlp.0.0"]["linked"] == []
    assert coupling(groups["embed"]).endswith("; 4 at a time, with 1 of attention.0, 1 of attention.1")
    assert coupling(groups["attention.1"]).endswith("1 with every 4 of embed")
