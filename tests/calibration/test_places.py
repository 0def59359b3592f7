"""Where layers are called, and where the chain to their feature map ends."""

from __future__ import annotations

import networks
import pytest
from calibration.scenes import Block, Tokens, Windows
from torch import nn
from torch.nn import functional

from prunecli.calibration.places import find_places
from prunecli.graph.channel_graph import build_graph


def chains(model, shape=(3, 8, 8)):
    return {
        layer: [place.chain for place in places]
        for layer, places in find_places(build_graph(model, shape)).items()
    }


@pytest.mark.parametrize("in_place", [True, False])
def test_the_chain_ends_before_a_sum_and_goes_through_functions_in_place(in_place):
    assert chains(Block(in_place=in_place)) == {
        "stem": [()],
        "conv1": [("batch_norm", "relu")],
        "conv2": [("batch_norm",)],
        "linear": [()],
    }


def test_dropout_is_part_of_the_chain_and_the_channel_axis_is_the_last_of_a_linear_layer():
    places = find_places(build_graph(Tokens(), (3, 8, 8)))
    assert places["hidden"][0].chain == ("gelu", "dropout")
    assert places["hidden"][0].axis == -1
    assert places["embed"][0].axis == 1


def test_a_shared_layer_has_a_place_for_every_call():
    places = find_places(build_graph(networks.SharedLayer(), (3, 8, 8)))
    assert [place.occurrence for place in places["cell"]] == [0, 1, 2]
    assert {place.chain for place in places["cell"]} == {("tanh",)}


def test_a_second_reader_ends_the_chain():
    class TwoReaders(networks.Plain):
        def forward(self, x):
            x = self.bn1(self.conv1(x))
            return self.head(self.conv2(functional.relu(x) + x))

    assert chains(TwoReaders())["conv1"] == [("batch_norm",)]


@pytest.mark.parametrize(("activation", "rectified"), [(nn.ReLU6(), True), (nn.SiLU(), False)])
def test_only_rectifiers_make_zeros(activation, rectified):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), activation, nn.Flatten(), nn.Linear(144, 5))
    assert find_places(build_graph(model, (3, 8, 8)))["0"][0].rectified is rectified


def test_windows_in_the_first_dimension_are_places():
    assert "inside" in chains(Windows())


def test_a_layer_whose_first_dimension_counts_no_images_has_no_place():
    class TimeFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 8, 2, stride=2)
            self.inner = nn.Linear(8, 8)
            self.linear = nn.Linear(8, 5)

        def forward(self, x):
            x = self.embed(x).flatten(2).permute(2, 0, 1)  # 16 tokens first, then images
            return self.linear(self.inner(x).mean(0))

    assert set(chains(TimeFirst())) == {"embed", "linear"}


def test_a_grouped_transposed_convolution_has_several_channels_a_filter_and_no_place():
    assert set(chains(networks.GroupedTransposed())) == {"stem", "head.linear"}


def test_a_layer_inside_torch_s_own_attention_has_no_place():
    assert set(chains(networks.TorchAttention())) == {"embed", "linear"}
