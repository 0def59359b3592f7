from __future__ import annotations

import pytest
import torch

from prunecli.data import normalise
from prunecli.errors import InputRefused


def test_bytes_become_normalised_floats_channel_by_channel() -> None:
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 3, 1, 1)
    found = normalise(images, (0.5, 0.25, 0.2), (0.5, 0.25, 0.1))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.flatten(), torch.tensor([-1.0, 3.0, 0.0]), atol=1e-6, rtol=0)
    assert images.flatten().tolist() == [0, 255, 51]


def test_it_agrees_with_the_definition_on_every_byte() -> None:
    images = torch.arange(256, dtype=torch.uint8).reshape(256, 1, 1, 1)
    wanted = (torch.arange(256, dtype=torch.float64) / 255 - 0.485) / 0.229
    torch.testing.assert_close(
        normalise(images, (0.485,), (0.229,)).flatten().double(), wanted, atol=1e-6, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "3 means and 3 deviations for images of 1 channel"),
        ((0.5,), (0.5, 0.5), "1 means and 2 deviations"),
        ((0.5,), (0.0,), "not positive"),
    ],
)
def test_constants_that_do_not_fit_are_refused(
    mean: tuple[float, ...], std: tuple[float, ...], words: str
) -> None:
    with pytest.raises(InputRefused, match=words):
        normalise(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), mean, std)
