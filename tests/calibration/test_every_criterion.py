"""Every criterion that looks at the network: order and size of batches, repetition, what is not available."""

from __future__ import annotations

import networks
import pytest
import torch

from prunecli.calibration.gathering import gather
from prunecli.calibration.observing import Scene
from prunecli.criteria.contract import CRITERIA
from prunecli.graph.channel_graph import build_graph
from prunecli.scoring.filter_scores import needs_of, score_filters
from prunecli.workflows.calibrating import classify

LOOKING = [name for name in CRITERIA if CRITERIA[name].needs_data]
PER_IMAGE = [name for name in LOOKING if not CRITERIA[name].per_batch]
IMAGES = 8
"""All of them are looked at: chip samples eight, and more would be another choice in another order."""


@pytest.fixture(scope="module")
def scores():
    """Scores of one network by how its images are batched."""
    torch.manual_seed(5)
    model = networks.randomised(networks.Plain()).double()
    graph = build_graph(model, (3, 8, 8))
    images, labels = torch.randn(IMAGES, 3, 8, 8, dtype=torch.float64), torch.arange(IMAGES) % 5
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def scored(order, size):
        index = torch.tensor(order)
        batches = list(zip(images[index].split(size), labels[index].split(size), strict=True))
        scene = Scene(model, graph, IMAGES)
        return score_filters(
            model, graph, LOOKING, gathered=gather(scene, batches, classify, needs=needs_of(LOOKING))
        )

    order = list(range(IMAGES))
    found = {
        "plain": scored(order, 4),
        "other sizes": scored(order, 3),
        "other order": scored(order[::-1], 4),
        "again": scored(order, 4),
    }
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(parameter.grad is not None for parameter in model.parameters())
    return found


def same(first, second, name):
    for layer, members in first.items():
        if members[name] is not None or second[layer][name] is not None:
            torch.testing.assert_close(members[name], second[layer][name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", PER_IMAGE)
@pytest.mark.parametrize("other", ["other sizes", "other order"])
def test_batches_do_not_matter_where_the_definition_is_per_image(scores, name, other):
    same(scores["plain"], scores[other], name)


@pytest.mark.parametrize("name", LOOKING)
def test_the_same_images_give_the_same_scores(scores, name):
    for layer, members in scores["plain"].items():
        again = scores["again"][layer][name]
        assert (members[name] is None) == (again is None)
        assert again is None or torch.equal(members[name], again)


@pytest.mark.parametrize("name", LOOKING)
def test_every_criterion_is_there_for_a_convolution_with_norm_and_rectifier(scores, name):
    found = scores["plain"]["conv1"][name]
    assert found is not None
    assert found.shape == (8,)
    assert torch.isfinite(found).all()


def test_what_a_layer_cannot_have_is_not_available_and_nothing_stands_in():
    bare = networks.randomised(networks.Plain())
    graph = build_graph(bare, (3, 8, 8))
    batches = [(torch.randn(6, 3, 8, 8), torch.arange(6) % 5)]
    names = ["apoz", "bn_taylor", "hrank", "taylor_act"]
    gathered = gather(Scene(bare, graph, 6), batches, classify, needs=needs_of(names))
    scores = score_filters(bare, graph, names, gathered=gathered)
    available = {
        layer: {name for name in names if found[name] is not None} for layer, found in scores.items()
    }
    assert available == {
        "conv1": set(names),
        "conv2": {"hrank", "taylor_act"},
        "head.linear": {"taylor_act"},
    }
