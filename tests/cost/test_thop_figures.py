"""thop's own figures, and a model that it did not touch."""

from __future__ import annotations

import logging
import sys

import torch
from torch import nn

from prunecli.cost.thop_figures import thop_figures


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2))


def test_convolution_norm_and_pool_by_thops_rules():
    figures = thop_figures(small(), (3, 8, 8))
    # Convolution without its bias; 4 operations an element for an affine norm; 1 an output of the pool.
    assert figures.macs == 4 * 64 * 27 + 4 * 4 * 64 + 4 * 16
    assert figures.params == 4 * 27 + 4 + 8
    assert figures.reason is None
    assert figures.document() == {"macs": figures.macs, "params": figures.params}
    assert figures.layers["1"].kind == "BatchNorm2d"
    assert figures.layers["1"].macs == 4 * 4 * 64


def test_the_model_is_untouched_and_nothing_is_printed(capfd, monkeypatch):
    # Without handlers, the first warning to the root logger installs one for good.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    model = nn.Sequential(small(), nn.Upsample(scale_factor=2, mode="nearest-exact")).train()
    names = list(model.state_dict())
    assert thop_figures(model, (3, 8, 8)).reason is None
    assert list(model.state_dict()) == names
    assert all(not hasattr(module, "total_ops") for module in model.modules())
    assert all(not module._forward_hooks for module in model.modules())
    assert model.training
    assert logging.getLogger().handlers == []
    assert capfd.readouterr() == ("", "")


def test_a_model_of_one_layer_is_that_layer():
    figures = thop_figures(nn.Linear(4, 3), (4,))
    assert figures.macs == 12
    assert figures.layers[""].kind == "Linear"


def test_a_missing_thop_is_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "thop", None)
    figures = thop_figures(small(), (3, 8, 8))
    assert figures.document() == {"macs": None, "params": None}
    assert figures.reason is not None
    assert figures.reason.startswith("thop cannot be imported")


def test_a_failure_is_a_reason():
    figures = thop_figures(small(), (5, 8, 8))
    assert figures.macs is None
    assert figures.reason is not None
    assert figures.reason.startswith("thop failed: RuntimeError")
    named = thop_figures(nn.Linear(4, 3), (), inputs={"input": torch.ones(1, 4)})
    assert named.reason == "thop calls models by position only"
