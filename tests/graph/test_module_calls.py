"""Forwards that go through another function, and modules that ask whether they train."""

import pytest
import torch
from torch import nn

from prunecli.graph.module_calls import asking_whether_they_train, forwards_go_through


def test_every_forward_goes_through_and_nothing_is_left_behind():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU()))
    seen = []

    def around(path, forward, args, kwargs):
        seen.append((path, tuple(args[0].shape)))
        return forward(*args, **kwargs)

    with forwards_go_through(list(model.named_modules()), around):
        model(torch.zeros(4, 2))
    assert seen == [("", (4, 2)), ("0", (4, 2)), ("1", (4, 3)), ("1.0", (4, 3))]
    assert not any("forward" in vars(module) for module in model.modules())


def test_an_instances_own_forward_is_put_back_after_an_error():
    model = nn.Linear(2, 2)
    own = model.forward = lambda x: x + 1

    def around(path, forward, args, kwargs):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"), forwards_go_through([("", model)], around):
        model(torch.zeros(1, 2))
    assert model.forward is own


def test_modules_that_read_whether_they_train_are_told_and_others_not():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout()).eval()
    with asking_whether_they_train() as asking:
        model(torch.zeros(1, 1, 2, 2))
        model[0].train()
    assert list(asking.values()) == [model[1], model[2]]
    assert [module.training for module in model] == [True, False, False]
    assert "training" not in vars(nn.Module)
