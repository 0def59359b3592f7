"""What people read of each document."""

from __future__ import annotations

import importlib

import pytest

from prunecli.cli import tables
from prunecli.cli.pages import compare, evaluate, export, finetune, inspect, prune, score

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
    assert cells(page, "Channels") == [["conv1", "Conv2d", "16", "8", "50.0 %", "█████░░░░░"]]
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


def test_what_is_known_is_part_of_the_suggestion(documents):
    own = {"path": "a.pt", "sha256": "ab", "architecture": "file/net.py:mine"}
    output = {"path": "b.safetensors"}
    found = {**documents["prune"], "output": output, "checkpoint": own, "data": "folder of images"}
    assert prune.following(found) == (
        "prunecli finetune b.safetensors --model net.py:mine --data 'folder of images' --epochs 10"
        " -o b-tuned.safetensors"
    )
    architecture = {**documents["inspect"]["architecture"], "source": "file", "name": "file/net.py:mine"}
    found = {**documents["inspect"], "path": "a.pt", "architecture": architecture}
    assert inspect.following(found) == (
        "prunecli prune a.pt --model net.py:mine --input-shape 3x32x32 --ratio 0.5 --dry-run"
    )


def test_inspect_shows_facts_layers_and_groups(documents):
    page = inspect.page(documents["inspect"])
    facts = dict(page[0].shown())
    assert facts["architecture"] == "cifar/resnet20"
    assert facts["MACs"] == "40,813,184"
    assert facts["prunable channels"] == "16 in 1 of 2 groups"
    assert facts["slow widths"] == "conv1 (against multiples of 32, what this machine likes)"
    assert cells(page, "Channels that may leave, group by group") == [
        ["conv1", "16", "2", "2 sums in layer1.0, layer1.1"]
    ]
    assert cells(page, "Channels that stay, and why") == [["the model's output", "1", "10", "linear"]]


def test_inspect_suggests_what_a_pruning_would_come_to(documents):
    assert inspect.following({**documents["inspect"], "path": "a b.pt"}) == (
        "prunecli prune 'a b.pt' --ratio 0.5 --dry-run"
    )
    fixed = [group for group in documents["inspect"]["groups"] if not group["prunable"]]
    assert inspect.following({**documents["inspect"], "groups": fixed}) is None


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
    assert page[0].shown() == [["l1", "l2", "0.9000", "0.85 … 0.95", "0.8000", "0.7500", "0.5000", "1.0000"]]
    assert page[1].shown() == [["l1", "l2", "0.7000", "0.2500", "0.7500"]]
    title = "Applicability (a score that hardly varies tells little)"
    assert cells(page, title) == [["l1", "0.4000", "2.0000", "0.4000", "conv1"]]
    assert cells(page, "Filters that would go first") == [
        ["conv1", "l1", "3 0"],
        ["conv1", "l2", "3 1"],
        ["conv2", "l1", "0"],
    ]
    assert cells(page, "Remarks") == [["l1 and l2 rank alike (Spearman 0.90)"]]


def test_compare_shows_what_was_asked_for_besides(documents):
    agreed = {"a": "l1", "b": "l2", "spearman": 0.5, "jaccard": {"0.3": 0.5, "0.5": 0.5}, "rbo": 0.25}
    layer = {"name": "conv1", "filters": 16, "dimension": 27, "normal_share": 0.875, "mean_over_std": 0.1}
    cut = {"ratio": 0.3, "loss": 1.5, "accuracy": 62.5, "output_error": 0.25, "params": 9, "macs": 1234}
    document = {
        **documents["compare"],
        "global_by_normalization": [
            {"normalization": "none", "pairs": [agreed]},
            {"normalization": "mean", "pairs": [{**agreed, "spearman": 0.75}]},
        ],
        "noise": [
            {"criterion": "l1", "exact": True, **agreed, "kendall": 1.0},
            {"criterion": "random", "exact": False, **agreed, "kendall": 0.125},
        ],
        "cwda": [{**layer, "variance_cv": 0.3, "skew": 0.0, "excess_kurtosis": -0.5, "verdict": "holds"}],
        "judgement_before": {"images": 64, "loss": 0.5, "accuracy": 90.0},
        "judgement": [{"criterion": "l1", "oracle_spearman": 0.4, "cuts": [cut]}],
        "gates": [{"metric": "rbo", "a": "l1", "b": "l2", "value": 0.95, "limit": 0.9, "met": False}],
    }
    page = compare.page(document)
    scaled = cells(page, "Spearman over all layers together, by what scores are divided by")
    assert scaled == [["l1", "l2", "0.5000", "0.7500"]]
    noise = cells(page, "Noise floor: against itself on other images and seed")
    assert noise == [["random", "0.5000", "0.1250", "0.2500", "0.5000", "0.5000"]]
    tested = cells(page, "Convolutional weight distribution assumption")
    assert tested == [["conv1", "16", "27", "87.5 %", "0.1000", "0.3000", "0.0000", "-0.5000", "holds"]]
    assert cells(page, "One-shot damage on 64 held-out images") == [
        ["(whole)", "-", "0", "0.5000", "90.00 %", "-", "-"],
        ["l1", "0.4000", "0.3", "1.5000", "62.50 %", "0.2500", "1,234"],
    ]
    assert cells(page, "Gates") == [["rbo", "l1", "l2", "0.9500", "0.9", "no"]]


def test_many_criteria_are_shown_as_a_matrix(documents):
    names = [f"c{index}" for index in range(7)]
    pairs = [
        {"a": a, "b": b, "spearman": 0.25, "jaccard": {"0.3": None, "0.5": 0.5}, "layers": []}
        for index, a in enumerate(names)
        for b in names[index + 1 :]
    ]
    page = compare.page({**documents["compare"], "criteria": names, "pairs": pairs, "global": []})
    rows = cells(page, "Spearman inside layers (mean over layers)")
    assert rows[1] == ["2", "c1", "0.25", "1.00", *["0.25"] * 5]
    assert cells(page, "Jaccard of what goes at 0.3 (mean over layers)")[0] == ["1", "c0", "1.00", *["-"] * 6]


def test_what_is_not_defined_is_a_dash(documents):
    undefined = {"a": "l1", "b": "bn_gamma", "spearman": None, "kendall": None, "jaccard": {"0.3": None}}
    document = {**documents["compare"], "pairs": [{**undefined, "layers": []}], "global": []}
    assert compare.page(document)[0].shown() == [["l1", "bn_gamma", *["-"] * 6]]
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


def several(documents):
    [first] = documents["finetune"]["history"]
    history = [{**first, "epoch": number, "accuracy": 90.0 + number} for number in range(1, 4)]
    return {
        **documents["finetune"],
        "data": "torchvision:CIFAR10:my data",
        "best": {"epoch": 2, "accuracy": 92.0},
        "recalibrated": {"accuracy": 93.5, "loss": 0.3},
        "stopped_early": True,
        "history": history,
    }


def test_finetune_shows_recalibration_and_marks_the_kept_epoch(documents):
    page = finetune.page(several(documents))
    assert cells(page, "Before and after") == [
        ["accuracy", "90.00 %", "93.50 %", "95.00 %"],
        ["loss", "0.5000", "0.3000", "0.2000"],
    ]
    assert [row[-1] for row in cells(page, "Epochs")] == ["", "best", ""]
    assert dict(page[-1].shown())["stopped early"] == "yes"
    assert "stopped early" not in dict(finetune.page(documents["finetune"])[-1].shown())


def test_finetune_fits_eighty_columns(documents):
    text = tables.as_text(finetune.page(several(documents)))
    assert max(len(line) for line in text.splitlines()) < 80


def test_finetune_suggests_the_same_data(documents):
    assert finetune.following(several(documents)) == (
        "prunecli evaluate tuned.safetensors --data 'torchvision:CIFAR10:my data'"
    )


def test_score_suggests_a_comparison_or_a_pruning(documents):
    document = documents["score"]
    assert score.following(document) == "prunecli compare model.safetensors --criteria l1,l2 --ratio 0.3,0.5"
    assert score.following({**document, "criteria": ["l1"]}) == (
        "prunecli prune model.safetensors --criterion l1 --ratio 0.5 --dry-run"
    )
    piped = {**document, "checkpoint": {"path": "<stdin>"}, "criteria": ["l1"]}
    assert score.following(piped) == "prunecli prune --criterion l1 --ratio 0.5 --dry-run"


def test_compare_suggests_to_judge_or_the_criterion_that_did_the_least_damage(documents):
    assert "--judge" in compare.following(documents["compare"])
    losses = {"l1": (0.5, 3.0), "l2": (0.75, 2.0)}
    judged = [
        {"criterion": word, "cuts": [{"ratio": 0.3, "loss": first}, {"ratio": 0.5, "loss": second}]}
        for word, (first, second) in losses.items()
    ]
    assert compare.following({**documents["compare"], "judgement": judged}) == (
        "prunecli prune --criterion l2 --ratio 0.5"
    )


def test_export_suggests_to_time_what_bench_can_run(documents):
    assert export.following(documents["export"]) == "prunecli bench small.onnx"
    other = {**documents["export"], "output": {"path": "small.pt2"}}
    assert export.following(other) is None
