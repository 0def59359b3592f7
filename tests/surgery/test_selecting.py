"""What stays of tensors: the same numbers as torch's own indexing, in pieces too."""

import pytest
import torch

from prunecli.surgery import selecting
from prunecli.surgery.plan import Cut
from prunecli.surgery.selecting import Selection


@pytest.mark.parametrize("shape", [(64, 48), (40, 32, 3, 3), (7, 5)])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_the_positions_that_stay(shape, axes, dtype, monkeypatch):
    monkeypatch.setattr(selecting, "FEW_BYTES", 1)
    monkeypatch.setattr(selecting, "PIECE_BYTES", 3 * shape[1] * dtype.itemsize)
    tensor = torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)
    cuts = [Cut("t", axis, shape[axis], tuple(range(axis, shape[axis], 3))) for axis in axes]
    expected = tensor
    for cut in cuts:
        stays = [position for position in range(cut.size) if position not in cut.removed]
        expected = expected.index_select(cut.axis, torch.tensor(stays))
    selection = Selection()
    for _ in range(2):  # the buffer of the first serves the second
        found = selection.narrowed(tensor, cuts)
        assert torch.equal(found, expected)
        assert found.dtype is dtype
        assert found.is_contiguous()


def test_the_last_two_of_three_dimensions():
    tensor = torch.randn(6, 5, 4)
    cuts = [Cut("t", 1, 5, (0, 3)), Cut("t", 2, 4, (1,))]
    assert torch.equal(Selection().narrowed(tensor, cuts), tensor[:, [1, 2, 4]][:, :, [0, 2, 3]])
