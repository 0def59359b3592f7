"""Ranks and nuclear norms are found by the calibration; the criteria hand them on."""

from __future__ import annotations

import pytest
import torch

from prunecli.criteria.contract import CRITERIA, Evidence


@pytest.mark.parametrize(("name", "attribute"), [("hrank", "map_rank"), ("chip", "nuclear_drop")])
def test_what_was_found_is_the_score(name, attribute):
    found = torch.tensor([2.5, 0.0, 7.25])
    given = Evidence("conv", torch.ones(3, 9, dtype=torch.float64), (3, 1, 3, 3), **{attribute: found})
    assert CRITERIA[name].function(given).tolist() == found.tolist()
    assert CRITERIA[name].function(given).dtype == torch.float64


@pytest.mark.parametrize("name", ["hrank", "chip"])
def test_a_layer_without_maps_has_no_score(name):
    bare = Evidence("conv", torch.ones(3, 9), (3, 1, 3, 3))
    assert not CRITERIA[name].available(bare)
    with pytest.raises(ValueError, match="conv"):
        CRITERIA[name].function(bare)
