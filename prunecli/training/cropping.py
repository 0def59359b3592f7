"""Random resized crops: boxes drawn for a whole epoch, and cut out of a batch of bytes at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from prunecli.data import ImageShape

# Szegedy et al. 2015, arXiv:1409.4842: a crop has 8 to 100 % of the area and sides of 3:4 to 4:3.
_AREA = (0.08, 1.0)
_RATIO = (3 / 4, 4 / 3)
_TRIES = 10


def random_boxes(count: int, *, image_shape: ImageShape, stream: torch.Generator) -> Tensor:
    """(`count`, 4) float64: left, top, width and height of a crop, as shares of the image's sides.

    The area is drawn evenly, the ratio of the sides (in pixels) evenly on a logarithmic scale, the place
    evenly among those inside the image. A crop that is larger than the image is drawn again; after ten tries
    it is the largest of an allowed ratio, in the middle.
    """
    height, width = image_shape[1:]
    boxes = _largest_box(height, width).repeat(count, 1)
    left = torch.arange(count)
    for _ in range(_TRIES):
        draws = torch.rand(4, len(left), generator=stream, dtype=torch.float64)
        area = _AREA[0] + (_AREA[1] - _AREA[0]) * draws[0]
        low, high = (math.log(ratio * height / width) for ratio in _RATIO)
        ratio = torch.exp(low + (high - low) * draws[1])
        sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1)
        fits = (sides <= 1).all(dim=1)
        places = (1 - sides) * draws[2:].T
        boxes[left[fits]] = torch.cat([places, sides], dim=1)[fits]
        left = left[~fits]
    return boxes


def _largest_box(height: int, width: int) -> Tensor:
    ratio = min(max(width / height, _RATIO[0]), _RATIO[1]) * height / width
    sides = torch.tensor([min(1.0, ratio), min(1.0, 1 / ratio)], dtype=torch.float64)
    return torch.cat([(1 - sides) / 2, sides])


def crop_and_resize(images: Tensor, boxes: Tensor) -> Tensor:
    """Cut each image's box out and scale it to the old size.        (N, C, H, W) uint8 → (N, C, H, W) uint8.

    `boxes` (N, 4) as `random_boxes` draws them, on the device of the images. Bilinear, rounded to the nearest
    byte; a box is never larger than its image, so nothing is scaled down and no antialiasing is wanted.
    """
    height, width = images.shape[2:]
    columns, rows = (_samples(boxes[:, axis::2], size) for axis, size in ((0, width), (1, height)))
    grid = torch.stack(
        [
            columns[:, None, :].expand(-1, height, -1),
            rows[:, :, None].expand(-1, -1, width),
        ],
        dim=3,
    )
    found = functional.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return found.round_().to(torch.uint8)


def _samples(spans: Tensor, size: int) -> Tensor:
    """(N, size) float32 on the scale -1..1 of an image's side: middles of `size` equal parts of each span.

    `spans` (N, 2) is start and length as shares of the side.
    """
    middles = (torch.arange(size, device=spans.device, dtype=torch.float64) + 0.5) / size
    return (2 * (spans[:, :1] + spans[:, 1:] * middles) - 1).float()
