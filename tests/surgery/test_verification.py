"""The proof finds cuts that have the right shapes and the wrong channels."""

from __future__ import annotations

import copy

import networks
import pytest
import torch

from prunecli.errors import WorkFailed
from prunecli.graph.channel_graph import build_graph
from prunecli.surgery import verification
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Cut, Plan
from prunecli.surgery.planning import make_plan
from prunecli.surgery.proof_input import ignores_mode
from prunecli.surgery.verification import Verification, verify


def planned(network, removed):
    model = networks.randomised(network())
    graph = build_graph(model, (3, 8, 8))
    return model, graph, make_plan(graph, removed).plan


def test_a_wrong_index_in_one_reader_is_found():
    model, graph, plan = planned(networks.Plain, {"conv1": [1, 2]})
    cuts = [Cut(c.tensor, c.axis, c.size, (1, 3)) if c.tensor == "conv2.weight" else c for c in plan.cuts]
    wrong = carry_out(Plan(tuple(cuts), plan.attributes, plan.groups), copy.deepcopy(model))
    assert not verify(graph, model, wrong, {"conv1": [1, 2]}).equivalent


def test_a_wrong_index_in_a_statistic_of_batch_norm_is_found():
    model, graph, plan = planned(networks.Plain, {"conv1": [1, 2]})
    cuts = [Cut(c.tensor, c.axis, c.size, (0, 2)) if c.tensor == "bn1.running_mean" else c for c in plan.cuts]
    wrong = carry_out(Plan(tuple(cuts), plan.attributes, plan.groups), copy.deepcopy(model))
    assert not verify(graph, model, wrong, {"conv1": [1, 2]}).equivalent


def test_changed_weights_are_found_and_the_error_is_measured_against_the_output():
    model, graph, plan = planned(networks.Residual, {"inner": [0]})
    cut = carry_out(plan, copy.deepcopy(model))
    exact = verify(graph, model, cut, {"inner": [0]})
    assert exact.equivalent
    assert exact.max_rel_error < 1e-13
    with torch.no_grad():
        cut.head.linear.bias.add_(0.01)
    shifted = verify(graph, model, cut, {"inner": [0]})
    assert not shifted.equivalent
    assert shifted.max_abs_error == pytest.approx(0.01, rel=1e-6)


def test_norms_over_channels_are_taken_over_the_kept_ones():
    model, graph, plan = planned(networks.LayerNorm, {"stem": [0, 5]})
    cut = carry_out(plan, copy.deepcopy(model))
    assert verify(graph, model, cut, {"stem": [0, 5]}).equivalent
    cut.norm.eps = 0.5
    assert not verify(graph, model, cut, {"stem": [0, 5]}).equivalent


def test_a_network_that_amplifies_rounding_is_judged_by_what_rounding_does_to_it():
    model, graph, plan = planned(networks.Amplifying, {"conv1": [1, 2]})
    cut = carry_out(plan, copy.deepcopy(model))
    found = verify(graph, model, cut, {"conv1": [1, 2]})
    assert found.max_rel_error > 1e-9
    assert 1e-9 < found.tolerance <= 1e-6
    assert found.equivalent
    with torch.no_grad():
        cut.conv2.bias.add_(1e-4)
    assert not verify(graph, model, cut, {"conv1": [1, 2]}).equivalent


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_proof_passes_on_what_is_no_number(value):
    model, graph, plan = planned(networks.Plain, {"conv1": [1]})
    with torch.no_grad():
        model.head.linear.bias[0] = value
    cut = carry_out(plan, copy.deepcopy(model))
    with torch.no_grad():
        cut.conv2.weight.mul_(7)
    found = verify(graph, model, cut, {"conv1": [1]})
    assert not found.equivalent


def test_nothing_is_changed_by_the_proof():
    model, graph, plan = planned(networks.Plain, {"conv1": [1]})
    cut = carry_out(plan, copy.deepcopy(model))
    before = [tensor.clone() for m in (model, cut) for tensor in m.state_dict().values()]
    state = torch.get_rng_state()
    verify(graph, model, cut, {"conv1": [1]})
    after = [tensor for m in (model, cut) for tensor in m.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert torch.equal(state, torch.get_rng_state())
    assert not model.training


def test_the_cut_network_is_run_in_training_mode_where_the_whole_one_ignores_it():
    model, graph, plan = planned(networks.LayerNorm, {"stem": [0, 5]})
    cut = carry_out(plan, copy.deepcopy(model))
    cut.norm.register_forward_hook(lambda module, args, output: output * (1 + 0.1 * module.training))
    assert ignores_mode(graph)
    assert not verify(graph, model, cut, {"stem": [0, 5]}).equivalent


ON_80, ON_64, ON_128, ON_TRACE = (80, 1), (64, 2), (128, 1), (224, 2)


@pytest.mark.parametrize(
    ("errors", "compared", "says"),
    [
        ({}, [ON_80], 1e-15),
        # amplified rounding is allowed, but where a larger picture shows less of it that is taken
        ({ON_80: 1e-8, ON_64: 1e-7}, [ON_80, ON_64, ON_128], 1e-15),
        ({ON_80: 1e-8, ON_64: 1e-7, ON_128: 1e-7, (128, 2): 1e-7}, [ON_80, ON_64, ON_128, (128, 2)], 1e-8),
        # nothing is refused before it was compared on the input of the trace
        (
            dict.fromkeys([ON_80, ON_64, ON_128, (128, 2), (224, 1)], 1.0),
            [ON_80, ON_64, ON_128, (128, 2), (224, 1), ON_TRACE],
            1e-15,
        ),
    ],
)
def test_the_inputs_that_a_proof_goes_through(monkeypatch, errors, compared, says):
    graph = build_graph(networks.Plain(), (3, 224, 224))
    seen = []

    def comparison(given, *args, **kwargs):
        batch, _, side, _ = given.traces[0].inputs[0].shape
        seen.append((side, batch))
        error = errors.get((side, batch), 1e-15)
        return Verification("", error, error, 1e-6, equivalent=error < 1e-6)

    monkeypatch.setattr(verification, "_compared", comparison)
    found = verify(graph, graph.model, graph.model, {})
    assert seen == compared
    assert found.max_rel_error == says


def test_weights_that_several_layers_share_stay_shared_in_the_copy():
    model = networks.TiedWeights().double()
    copied = verification._in_float64(model)
    assert [name for name, _ in copied.named_parameters()] == [name for name, _ in model.named_parameters()]
    theirs = {p.data_ptr() for p in copied.parameters()}
    assert not theirs & {p.data_ptr() for p in model.parameters()}  # though they were float64 before


class Asleep(networks.Plain):
    """The last channels of its first layer give zeros whatever comes in."""

    def __init__(self):
        super().__init__()
        networks.randomised(self)
        with torch.no_grad():
            self.bn1.bias[4:] = -1e6


def test_what_a_sleeping_channel_hides_is_found_in_the_tensors():
    model = Asleep()
    graph = build_graph(model, (3, 8, 8))
    cut = carry_out(make_plan(graph, {"conv1": [1, 2]}).plan, copy.deepcopy(model))
    assert verify(graph, model, cut, {"conv1": [1, 2]}).equivalent
    cut.bn1.running_mean[-2:] = cut.bn1.running_mean[-2:].flip(0)
    with pytest.raises(WorkFailed, match=r"^bn1\.running_mean is not what the plan leaves of it"):
        verify(graph, model, cut, {"conv1": [1, 2]})
