"""Scores as the analysis reads them: double precision, checked, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from prunecli.scoring.ranking import Scores


def score_arrays(
    scores: Mapping[str, Mapping[str, Tensor | Scores | None]], criteria: Sequence[str]
) -> dict[str, dict[str, Scores | None]]:
    """Layer → criterion → (N,) double or None, for each of `criteria` that the layer names.

    Scores that are not all finite rank nothing: None. Raises ValueError when the criteria of a layer score
    different numbers of units.
    """
    return {
        layer: _layer_arrays(layer, {name: members[name] for name in criteria if name in members})
        for layer, members in scores.items()
    }


def _layer_arrays(layer: str, members: Mapping[str, Tensor | Scores | None]) -> dict[str, Scores | None]:
    arrays: dict[str, Scores | None] = {}
    sizes = set()
    for name, given in members.items():
        if given is None:
            arrays[name] = None
            continue
        array = (
            given.detach().cpu().double().numpy() if isinstance(given, Tensor) else np.asarray(given, float)
        )
        sizes.add(len(array))
        arrays[name] = array if np.isfinite(array).all() else None
    if len(sizes) > 1:
        raise ValueError(f"the criteria score different numbers of units in {layer}: {sorted(sizes)}")
    return arrays
