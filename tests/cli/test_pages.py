"""What people read of each document."""

from __future__ import annotations

import importlib

import pytest

from prunecli.cli import tables
from prunecli.cli.pages import compare, evaluate, finetune, inspect, prune, score

COMMANDS = ("inspect", "score", "compare", "prune", "finetune", "evaluate", "export")


def cells(page, title):
    [table] = [table for table in page if table.title == title]
    return table.shown()


def test_prune_shows_before_after_reduction_and_speed_up(documents):
    assert cells(prune.page(documents["prune"]), "Before and after") == [
        ["parameters", "1,000", "250", "75.0 %"],
        ["MACs", "4,000", "1,000", "75.0 %"],
        ["bytes of weights", "4,400", "1,200", "72.7 %"],
        ["theoretical speed-up (MACs)", "", "4.00x", ""],
        ["accuracy", "97.50 %", "90.25 %", "-7.25 points"],
    ]


def test_prune_shows_layers_protected_layers_and_the_proof(documents):
    page = prune.page(documents["prune"])
    assert cells(page, "Channels") == [["conv1", "Conv2d", "16", "8", "50.0 %"]]
    assert cells(page, "Bounds that changed a number") == [["conv1", "--min-channels 8 keeps 8"]]
    assert cells(page, "Protected") == [["linear", "the model's output"]]
    proof = dict(cells(page, "Verification"))
    assert proof["equivalent"] == "yes"
    assert proof["largest error"] == "2.4e-16 absolute, 1e-15 relative, tolerance 1e-09"
    assert proof["written"] == "small.safetensors"
    assert "train" not in proof["seconds"]


def test_prune_without_accuracy_or_file(documents):
    document = {**documents["prune"], "accuracy": None, "output": None, "verification": None}
    assert "accuracy" not in tables.as_text(prune.page(document))
    assert prune.following(document) == "the same with -o small.safetensors keeps the smaller network"


def test_prune_shows_what_thop_says(documents):
    sides = {
        "before": {**documents["prune"]["before"], "thop": {"macs": 5000, "params": 1000}},
        "after": {**documents["prune"]["after"], "thop": {"macs": 1250, "params": 250}},
    }
    rows = cells(prune.page({**documents["prune"], **sides}), "Before and after")
    assert ["MACs by thop", "5,000", "1,250", "75.0 %"] in rows


def test_prune_suggests_a_quoted_path(documents):
    output = {**documents["prune"]["output"], "path": "my models/a.safetensors"}
    assert prune.following({**documents["prune"], "output": output}) == (
        "prunecli finetune 'my models/a.safetensors' --data DATA --epochs 10"
        " -o 'my models/a-tuned.safetensors'"
    )


def test_inspect_shows_facts_layers_and_groups(documents):
    page = inspect.page(documents["inspect"])
    facts = dict(page[0].shown())
    assert facts["architecture"] == "cifar/resnet20"
    assert facts["MACs"] == "40,813,184"
    assert facts["prunable channels"] == "16"
    assert cells(page, "Channel groups") == [
        ["conv1", "16", "2", "yes", "-"],
        ["linear", "10", "1", "no", "the model's output"],
    ]


def test_inspect_csv_joins_layers_with_their_groups(documents):
    assert inspect.flat(documents["inspect"]).rows == (
        ("conv1", "Conv2d", 16, "conv1", True, None),
        ("linear", "Linear", 10, "linear", False, "the model's output"),
    )


def test_score_summarises_each_layer_and_criterion(documents):
    rows = cells(score.page(documents["score"]), "Scores of filters (higher = keep)")
    assert rows[0] == ["conv1", "2", "l1", "1", "2", "3", "0.5000"]
    assert rows[1][2:] == ["l2", "0.123457", "0.123457", "0.123457", "0.0000"]


def test_summary_of_nothing_and_of_zero_mean():
    assert score.summary([]) == (None, None, None, None)
    assert score.summary([-1.0, 1.0]) == (-1.0, 0.0, 1.0, None)


def test_compare_shows_pairs_globals_and_jaccard_for_each_ratio(documents):
    page = compare.page(documents["compare"])
    assert [column.title for column in page[0].columns][-2:] == ["Jaccard 0.3", "Jaccard 0.5"]
    assert page[0].shown() == [["l1", "l2", "0.9000", "0.8000", "0.5000", "1.0000"]]
    assert page[1].shown() == [["l1", "l2", "0.7000", "0.2500", "0.7500"]]
    assert page[2].shown() == [["l1", "0.4000", "2.0000", "0.4000", "conv1"]]
    assert cells(page, "Filters that would go first") == [
        ["conv1", "l1", "3 0"],
        ["conv1", "l2", "3 1"],
        ["conv2", "l1", "0"],
    ]
    assert cells(page, "Remarks") == [["l1 and l2 rank alike (Spearman 0.90)"]]


def test_what_is_not_defined_is_a_dash(documents):
    undefined = {"a": "l1", "b": "bn_gamma", "spearman": None, "kendall": None, "jaccard": {"0.3": None}}
    document = {**documents["compare"], "pairs": [{**undefined, "layers": []}], "global": []}
    assert compare.page(document)[0].shown() == [["l1", "bn_gamma", "-", "-", "-", "-"]]
    [layer] = documents["score"]["layers"]
    rows = score.page({**documents["score"], "layers": [{**layer, "scores": {"bn_gamma": None}}]})[1].shown()
    assert rows == [["conv1", "2", "bn_gamma", "-", "-", "-", "-"]]


def test_finetune_shows_both_ends_and_the_history(documents):
    page = finetune.page(documents["finetune"])
    assert page[0].shown()[0] == ["accuracy", "90.00 %", "95.00 %"]
    assert cells(page, "Epochs") == [["1", "0.01", "0.4100", "0.2000", "95.00 %", "1,234"]]
    assert finetune.following(documents["finetune"]) == "prunecli evaluate tuned.safetensors"


def test_evaluate_leaves_out_what_was_not_measured(documents):
    shown = dict(evaluate.page(documents["evaluate"])[0].shown())
    assert shown["accuracy"] == "97.50 %"
    assert "top-5 accuracy" not in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_csv_is_one_rectangle_with_a_row(documents, command):
    module = importlib.import_module(f"prunecli.cli.pages.{command}")
    lines = tables.as_csv(module.flat(documents[command])).splitlines()
    assert len(lines) > 1
