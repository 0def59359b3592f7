"""Scale and shift scores are absolute values."""

from __future__ import annotations

import torch

from prunecli.criteria.batch_norm import absolute_scale, absolute_shift
from prunecli.criteria.contract import BatchNormEvidence, Evidence


def test_signs_do_not_count():
    norm = BatchNormEvidence(
        weight=torch.tensor([-2.0, 1.0]),
        bias=torch.tensor([0.5, -3.0]),
        mean=torch.zeros(2),
        variance=torch.ones(2),
    )
    given = Evidence(layer="conv", weight=torch.ones(2, 4), kernel_shape=(2, 4), batch_norm=norm)
    assert absolute_scale(given).tolist() == [2.0, 1.0]
    assert absolute_shift(given).tolist() == [0.5, 3.0]
