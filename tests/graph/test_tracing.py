"""A trace holds every operation in order, with the module it came from and the tensors it read."""

from __future__ import annotations

import pytest
from networks import Plain, TrainingBranch

from prunecli.graph.inputs import Calling, Input
from prunecli.graph.meta import meta_copy
from prunecli.graph.tracing import record


def traced(model, **kwargs):
    shadow = meta_copy(model)
    return record(shadow, Calling((Input((3, 8, 8)),)).empty(shadow), **kwargs)


def test_operations_come_in_order_with_their_modules_and_parameters():
    trace = traced(Plain())
    convolutions = [op for op in trace.operations if op.name == "aten.convolution"]
    assert [trace.path_of(op) for op in convolutions] == ["conv1", "conv2"]
    assert convolutions[0].tensors()[1].name == "conv1.weight"
    assert convolutions[0].outputs[0].shape == (2, 8, 8, 8)
    assert [ref.shape for ref in trace.outputs] == [(2, 5)]
    assert [op.index for op in trace.operations] == list(range(len(trace.operations)))


def test_modes_are_put_back():
    model = meta_copy(Plain()).eval()
    model.bn1.train()
    record(model, Calling((Input((3, 8, 8)),)).empty(model), training=True)
    assert not model.training
    assert model.bn1.training


def test_only_training_runs_the_training_branch():
    count = {mode: len(traced(TrainingBranch(), training=mode).outputs) for mode in (False, True)}
    assert count == {False: 1, True: 2}


def test_an_operation_can_be_stopped_before_it_runs():
    class Stop(Exception):
        pass

    seen = []

    def before(operation):
        seen.append(operation.name)
        if operation.name == "aten.native_batch_norm":
            raise Stop

    with pytest.raises(Stop):
        traced(Plain(), before=before)
    assert seen[0] == "aten.convolution"
    assert "aten.relu" not in seen
