"""Scale and shift scores are absolute values; the folded length is that of the folded convolution."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from prunecli.criteria.batch_norm import absolute_scale, absolute_shift, folded_length
from prunecli.criteria.contract import BatchNormEvidence, Evidence


def evidence(weight, scale, shift=(0.0, 0.0), variance=(1.0, 1.0), epsilon=0.0):
    scale, shift, variance = (torch.as_tensor(values) for values in (scale, shift, variance))
    norm = BatchNormEvidence(scale, shift, torch.zeros(len(scale)), variance, epsilon)
    return Evidence(layer="conv", weight=weight, kernel_shape=tuple(weight.shape), batch_norm=norm)


def test_signs_do_not_count():
    given = evidence(torch.ones(2, 4), [-2.0, 1.0], [0.5, -3.0])
    assert absolute_scale(given).tolist() == [2.0, 1.0]
    assert absolute_shift(given).tolist() == [0.5, 3.0]


def test_the_folded_length_by_hand():
    given = evidence(torch.tensor([[3.0, 4.0], [0.0, 2.0]]), [-2.0, 3.0], variance=[3.0, 8.0], epsilon=1.0)
    assert folded_length(given).tolist() == [5.0, 2.0]


def test_the_folded_length_is_that_of_torchs_fused_convolution():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.copy_(torch.rand(6) + 0.1)
    fused = fuse_conv_bn_eval(conv.eval(), norm.eval()).weight.detach().flatten(1).norm(dim=1)
    given = evidence(
        conv.weight.detach().flatten(1), norm.weight.detach(), norm.bias.detach(), norm.running_var, norm.eps
    )
    torch.testing.assert_close(folded_length(given), fused)


def test_a_channel_that_never_varied_has_a_finite_folded_length():
    scores = folded_length(evidence(torch.ones(2, 4), [1.0, 0.0], variance=[0.0, 0.0]))
    assert torch.isfinite(scores).all()
    assert scores[0] > 1e30
    assert scores[1] == 0


@pytest.mark.parametrize("score", [absolute_scale, absolute_shift, folded_length])
def test_without_a_batch_norm_there_is_no_score(score):
    given = Evidence(layer="conv", weight=torch.ones(2, 4), kernel_shape=(2, 4))
    with pytest.raises(ValueError, match="conv has no batch normalisation"):
        score(given)
