"""Reports, pictures and cards that commands leave beside their result."""

from __future__ import annotations

import json

import pytest
import yaml

from prunecli.errors import WrongUse
from prunecli.workflows.bench import bench
from prunecli.workflows.keeping import Keepsakes, facts
from prunecli.workflows.opening import Opening
from prunecli.workflows.prune import prune
from prunecli.workflows.sensitivity import sensitivity


def test_sensitivity_leaves_curves_and_a_report(tmp_path):
    report, plot = tmp_path / "report.json", tmp_path / "curves.svg"
    found = sensitivity(Opening(), ratios=(0.5,), keep=Keepsakes(report=str(report), plot=str(plot)))
    written = json.loads(report.read_text())
    assert [group["name"] for group in written["groups"]] == [group["name"] for group in found.groups]
    assert "Points of accuracy lost" in plot.read_text()


def test_bench_leaves_bars_and_a_report(tmp_path):
    report, plot = tmp_path / "report.md", tmp_path / "bars.svg"
    keep = Keepsakes(report=str(report), plot=str(plot))
    bench([Opening(), Opening()], rounds=3, memory=False, keep=keep)
    assert "## Speed-up" in report.read_text()
    assert "milliseconds a batch" in plot.read_text()


def test_prune_leaves_a_card_of_what_it_wrote(tmp_path):
    card, small = tmp_path / "README.md", tmp_path / "small.safetensors"
    keep = Keepsakes(card=str(card), base_model="owner/name")
    result = prune(Opening(), ratio=0.5, data="digits", evaluate=True, output=str(small), keep=keep)
    _, matter, body = card.read_text().split("---\n", 2)
    [model] = yaml.safe_load(matter)["model-index"]
    [shown] = model["results"]
    assert shown["dataset"]["name"] == "digits"
    assert shown["metrics"][0]["value"] == result.accuracy["after"]
    assert f'prunecli.load("{small}")' in body


def test_what_cannot_be_is_refused_before_any_work(tmp_path):
    with pytest.raises(WrongUse):
        Keepsakes(card="card.html")
    kept = tmp_path / "README.md"
    kept.write_text("mine")
    with pytest.raises(WrongUse):
        prune(Opening(), ratio=0.5, keep=Keepsakes(card=str(kept)))
    assert kept.read_text() == "mine"


def test_the_environment_names_versions_threads_and_what_computes():
    assert set(facts()) == {
        *("prunecli", "torch", "Python", "machine", "processor", "threads", "accelerator"),
    }
