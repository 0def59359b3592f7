"""torchvision's detectors, called up to the boxes.

Which boxes come out, and how many, depends on values. Everything that has channels lies before that: the
backbone, the heads over feature maps, and the heads over regions, which here get a few fixed regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.graph.inputs import Calling, Input

PACKAGE = "torchvision.models.detection."
LARGEST = 128  # of the side of an image: a feature pyramid computes the same at every size
REGIONS = ((0.1, 0.2, 0.6, 0.9), (0.3, 0.1, 0.8, 0.5), (0.0, 0.0, 1.0, 1.0))  # left, top, right, bottom


def detector(model: nn.Module, shape: tuple[int, ...]) -> Sequence[Calling]:
    """How a detector of torchvision is called; nothing for every other network."""
    if not any(each.__module__.startswith(PACKAGE) for each in type(model).__mro__):
        return ()
    if hasattr(model, "rpn"):
        return (Calling((Input(_small(shape)),), parts=_two_stages),)
    if hasattr(model, "head") and hasattr(model, "backbone"):
        # the last maps of SSD are one pixel wide at the size that it is made for
        smaller = shape if type(model).__name__ == "SSD" else _small(shape)
        return (Calling((Input(smaller),), parts=_one_stage),)
    return ()


def _small(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], *(min(side, LARGEST) for side in shape[1:]))


def _one_stage(model: Any, inputs: Sequence[Tensor]) -> Any:
    """What the head says of every position: SSD, RetinaNet, FCOS."""
    return model.head(_maps(model, inputs[0])[1])


def _two_stages(model: Any, inputs: Sequence[Tensor]) -> list[Any]:
    """What the region proposal head says, and what the heads over regions say of `REGIONS`."""
    (images,) = inputs
    by_name, maps = _maps(model, images)
    heads = model.roi_heads
    found = [model.rpn.head(maps)]
    pooled = _pooled(heads.box_roi_pool, by_name, images)
    found.append(heads.box_predictor(heads.box_head(pooled)))
    for kind in ("mask", "keypoint"):
        pool = getattr(heads, f"{kind}_roi_pool", None)
        if pool is not None:
            inside = getattr(heads, f"{kind}_head")(_pooled(pool, by_name, images))
            found.append(getattr(heads, f"{kind}_predictor")(inside))
    return found


def _maps(model: Any, images: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
    features = model.backbone(images)
    by_name = {"0": features} if isinstance(features, Tensor) else dict(features)
    return by_name, list(by_name.values())


def _pooled(pool: Any, maps: dict[str, Tensor], images: Tensor) -> Tensor:
    """Every region from every map that the pool reads, summed: (images × regions, channels, height, width).

    The pool itself takes each region from the one map that fits its size.
    """
    from torchvision.ops import roi_align

    height, width = images.shape[-2:]
    sizes = images.new_tensor([width, height, width, height])
    boxes = images.new_tensor(REGIONS) * sizes
    numbers = torch.arange(len(images), device=images.device, dtype=images.dtype)
    rows = torch.cat([numbers.repeat_interleave(len(REGIONS))[:, None], boxes.repeat(len(images), 1)], dim=1)
    levels = [
        roi_align(maps[name], rows, pool.output_size, maps[name].shape[-1] / width, pool.sampling_ratio)
        for name in pool.featmap_names
        if name in maps
    ]
    return torch.stack(levels).sum(dim=0)
