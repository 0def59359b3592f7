"""What happens to channels that a residual sum ties, by mode."""

from __future__ import annotations

import networks
import numpy as np
import pytest
from torch import nn
from torch.nn import functional

from prunecli.allocation.bounds import RESIDUAL_MODES, Bounds
from prunecli.allocation.choosing import allocate
from prunecli.cli.pruning_options import Residual
from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.scattering import scatterable

SHAPE = (3, 8, 8)
WHOLE = networks.Residual()
PLAIN = build_graph(WHOLE, SHAPE)  # groups: stem 8, inner 12
SCATTERED = build_graph(scatterable(WHOLE, PLAIN), SHAPE)  # and outer 8


def allocation(graph, mode):
    scores = {group.name: np.arange(float(group.channels)) for group in graph.prunable}
    return allocate(graph, scores, ratio=0.5, bounds=Bounds(residual=mode))


@pytest.mark.parametrize(
    ("graph", "mode", "widths"),
    [
        (PLAIN, "coupled", {"stem": 4, "inner": 6}),
        (PLAIN, "inner", {"inner": 6}),
        (PLAIN, "scatter", {"inner": 6}),
        (SCATTERED, "coupled", {"inner": 6, "outer": 4}),
        (SCATTERED, "inner", {"inner": 6}),
        (SCATTERED, "scatter", {"inner": 6, "outer": 4}),
    ],
)
def test_what_leaves(graph, mode, widths):
    found = allocation(graph, mode)
    assert {name: len(channels) for name, channels in found.removed.items()} == widths


def test_the_reasons():
    assert allocation(PLAIN, "scatter").protected == {"stem": "tied by a residual sum (--residual scatter)"}
    inner = allocation(SCATTERED, "inner")
    assert inner.protected == {"outer": "scattered into a residual sum (--residual inner)"}
    stem = next(group for group in SCATTERED.groups if group.name == "stem")
    assert stem.reason == "other channels are scattered into them"


def test_the_command_line_has_all_modes():
    (option,) = Residual.__metadata__
    assert option.metavar == "|".join(RESIDUAL_MODES)


class NormedInGroups(networks.Residual):
    """A stream whose readers see it in groups: its channels are a product of groups and slots."""

    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(2, 8)

    def forward(self, x):
        x = self.stem(x)
        return self.head(x + self.outer(functional.relu(self.inner(self.norm(x)))))


def test_a_stream_that_is_a_product_stays_whole_as_well():
    model = NormedInGroups()
    graph = build_graph(scatterable(model, build_graph(model, SHAPE)), SHAPE)
    assert set(allocation(graph, "scatter").removed) == {"inner", "outer"}
