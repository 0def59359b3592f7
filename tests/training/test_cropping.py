from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from prunecli.training.cropping import crop_and_resize, random_boxes


def photographs(count: int, height: int, width: int) -> Tensor:
    """Smooth gradients under noise, so that a wrong place and a wrong scale both show."""
    stream = torch.Generator().manual_seed(0)
    slopes = torch.rand(count, 3, 2, generator=stream) * 120
    down, right = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    ramps = slopes[..., :1, None] * down + slopes[..., 1:, None] * right
    return (ramps + 15 * torch.rand(count, 3, height, width, generator=stream)).to(torch.uint8)


def boxes_for(height: int, width: int, count: int = 4000) -> Tensor:
    return random_boxes(count, image_shape=(3, height, width), stream=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (24, 32), (224, 192)])
def test_boxes_lie_in_the_image_and_keep_to_area_and_ratio(height: int, width: int) -> None:
    left, top, wide, high = boxes_for(height, width).T
    assert min(left.min(), top.min()) >= 0
    assert max((left + wide).max(), (top + high).max()) <= 1 + 1e-12
    area, ratio = wide * high, (wide * width) / (high * height)
    assert 0.08 <= area.min() < 0.1
    assert 0.9 < area.max() <= 1
    assert 3 / 4 - 1e-9 <= ratio.min() < 0.77
    assert 1.3 < ratio.max() <= 4 / 3 + 1e-9
    if height == width:  # elsewhere wide crops and high ones do not fit equally often
        assert abs(float(ratio.log().mean())) < 0.02


def test_boxes_lie_anywhere_with_the_same_chance() -> None:
    left, top, wide, high = boxes_for(32, 32).T
    for place, side in ((left, wide), (top, high)):
        share = (place / (1 - side))[side < 0.9]
        counts = torch.histc(share.float(), bins=4, min=0, max=1) / len(share)
        assert ((counts - 0.25).abs() < 0.03).all()
    assert abs(float(torch.corrcoef(torch.stack([left / (1 - wide), top / (1 - high)]))[0, 1])) < 0.05


def test_an_image_that_no_crop_fits_gives_its_middle() -> None:
    # 1:20, where a crop of 4:3 has at most a fifteenth of the area.
    found = boxes_for(10, 200, count=50)
    side = (4 / 3) / 20
    middle = torch.tensor([(1 - side) / 2, 0.0, side, 1.0], dtype=torch.float64)
    assert torch.allclose(found, middle.expand(50, 4))
    turned = boxes_for(200, 10, count=50)
    assert torch.allclose(turned, middle[[1, 0, 3, 2]].expand(50, 4))


def test_the_whole_image_as_box_changes_nothing() -> None:
    images = photographs(3, 9, 14)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64).expand(3, 4)
    found = crop_and_resize(images, whole)
    assert found.dtype == torch.uint8
    assert torch.equal(found, images)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 31)])
def test_crops_are_those_of_pillow_to_one_step_of_brightness(height: int, width: int) -> None:
    images = photographs(40, height, width)
    boxes = boxes_for(height, width, count=40)
    found = crop_and_resize(images, boxes)
    for image, box, ours in zip(images, boxes.tolist(), found, strict=True):
        left, top, wide, high = box
        corners = (left * width, top * height, (left + wide) * width, (top + high) * height)
        picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
        theirs = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, box=corners))
        # Pillow rounds after each of its two passes.
        assert np.abs(ours.permute(1, 2, 0).numpy().astype(int) - theirs.astype(int)).max() <= 1


def test_boxes_come_from_their_stream_alone() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    first = boxes_for(32, 32, count=30)
    assert torch.equal(torch.rand(3), wanted)
    assert torch.equal(boxes_for(32, 32, count=30), first)
    assert len({math.fsum(row) for row in first.tolist()}) == 30
