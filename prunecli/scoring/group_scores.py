"""What a group's channels are worth: the scores of the filters that make them, brought together.

A channel may be made by several filters: the members of a residual sum, a convolution and the depthwise
convolution behind it, all filters of a head. Its score is the mean over the layers that make it, of the mean
over the filters of each layer.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from prunecli.graph.groups import ChannelGroup
from prunecli.graph.layers import Layer
from prunecli.scoring.filter_scores import FilterScores

Scores = NDArray[np.float64]


def score_groups(
    groups: Iterable[ChannelGroup], layers: Iterable[Layer], scores: FilterScores, criterion: str
) -> dict[str, Scores | None]:
    """Group name → (channels,) scores by `criterion`; None where no layer of the group has it."""
    producers = {(layer.weight, layer.filter_axis): layer.name for layer in layers}
    return {group.name: _score(group, producers, scores, criterion) for group in groups}


def _score(
    group: ChannelGroup, producers: dict[tuple[str, int], str], scores: FilterScores, criterion: str
) -> Scores | None:
    found = []
    for member in group.members:
        layer = producers.get((member.tensor, member.axis))
        values = scores.get(layer, {}).get(criterion) if layer is not None else None
        if values is None:
            continue
        at = values.detach().cpu().double().numpy()[member.positions]
        total = np.bincount(member.units, weights=at, minlength=group.channels)
        found.append(total / np.bincount(member.units, minlength=group.channels))
    return np.mean(found, axis=0) if found else None
