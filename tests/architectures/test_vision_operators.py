"""The two detector operators in plain PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from prunecli.architectures import build, resolve
from prunecli.architectures.vision_operators import WARNING, import_torchvision, suppress_overlaps


def test_the_better_of_two_overlapping_boxes_stays():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 10, 2]])
    scores = torch.tensor([0.5, 0.9, 0.1, 0.8])
    assert suppress_overlaps(boxes, scores, 0.5).tolist() == [1, 3, 2]
    assert suppress_overlaps(boxes, scores, 0.95).tolist() == [1, 3, 0, 2]
    assert suppress_overlaps(boxes, scores, 0.15).tolist() == [1, 2]


def test_a_box_that_left_suppresses_nothing():
    boxes = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    assert suppress_overlaps(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.4).tolist() == [0, 2]


def test_no_boxes_are_no_indices():
    assert suppress_overlaps(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def test_regions_are_pooled_with_a_gradient():
    ops = import_torchvision().ops
    features = torch.arange(16.0).reshape(1, 1, 4, 4).requires_grad_()
    pooled = ops.roi_align(
        features, torch.tensor([[0.0, 0, 0, 4, 4]]), (2, 2), sampling_ratio=2, aligned=True
    )
    expected = torch.nn.functional.avg_pool2d(features.detach(), 2)
    torch.testing.assert_close(pooled.detach(), expected)
    pooled.sum().backward()
    torch.testing.assert_close(features.grad, torch.full_like(features, 0.25))


def test_a_detector_trains_and_predicts():
    architecture = resolve("torchvision/fasterrcnn_mobilenet_v3_large_320_fpn", arguments={"num_classes": 3})
    network = build(architecture)
    boxes = {"boxes": torch.tensor([[5.0, 5, 60, 60]]), "labels": torch.tensor([1])}
    with torch.no_grad():
        found = network([torch.rand(3, 64, 64)])
        losses = network.train()([torch.rand(3, 64, 64)], [boxes])
    assert found[0]["boxes"].shape[1] == 4
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("first", ["", "import prunecli.torchvision_import as t; t.load_torchvision();"])
def test_at_most_one_warning(first):
    code = (
        f"{first}from prunecli.architectures.vision_operators import import_torchvision as f;"
        "import sys; f(); f(); sys.stdout.write(str(f().extension._has_ops()))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == ("" if result.stdout == "True" else WARNING)
