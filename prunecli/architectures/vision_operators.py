"""torchvision's operators in plain PyTorch, for where its compiled ones do not load beside this torch.

Classifiers need none of them; detectors need two, non-maximum suppression and region pooling.
"""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from prunecli.errors import InputRefused
from prunecli.torchvision_import import load_torchvision

log = logging.getLogger("prunecli.architectures")
WARNING = "torchvision's compiled operators do not fit this torch; slow ones in plain PyTorch serve instead"

NMS = "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
ROI_ALIGN = (
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor"
)
# torchvision's own modules that refuse to work, or compile C++, unless these two names say otherwise
GUARDED = ("torchvision.ops.boxes", "torchvision.ops.roi_align")

_KEPT: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """torchvision, with the operators of this module where its own did not load.

    The first call that has to put them there logs one warning. Raises InputRefused when torchvision is
    not installed or cannot be imported.
    """
    try:
        found = load_torchvision()
    except ImportError as error:
        raise InputRefused(
            f"torchvision cannot be used: {error}", hints=["pip install torchvision"]
        ) from error
    if not found.extension._has_ops() and not _KEPT:
        _define_operators()
        for name in GUARDED:
            guarded: Any = sys.modules[name]
            guarded._assert_has_ops = lambda: None
            guarded._has_ops = lambda: True
        log.warning(WARNING)
    return found


def suppress_overlaps(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Non-maximum suppression: (N, 4) corners and (N,) scores → indices kept, best score first.

    A box leaves when its intersection over union with a better one that stays is above `threshold`.
    """
    order = scores.argsort(descending=True, stable=True)
    corners = boxes[order]
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    stays = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    for index in range(len(order)):
        if not stays[index]:
            continue
        rest = slice(index + 1, None)
        low = torch.maximum(corners[index, :2], corners[rest, :2])
        high = torch.minimum(corners[index, 2:], corners[rest, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        stays[rest] &= shared <= threshold * (area[index] + area[rest] - shared)
    return order[stays]


def _define_operators() -> None:
    """Give the two operators their schemas and kernels, under the names that torchvision calls."""
    make_library: Any = torch.library.Library  # untyped in torch
    library = make_library("torchvision", "FRAGMENT")
    for schema in (NMS, ROI_ALIGN):
        if not hasattr(torch.ops.torchvision, schema.partition("(")[0]):
            library.define(schema)
    library.impl("nms", suppress_overlaps, "CPU")
    library.impl("nms", suppress_overlaps, "CUDA")
    library.impl("roi_align", _pool_regions, "CPU")
    library.impl("roi_align", _pool_regions, "CUDA")
    library.impl("roi_align", _pooled_shape, "Meta")
    torch.library.register_autograd(
        "torchvision::roi_align", _pool_regions_backward, setup_context=_keep_inputs, lib=library
    )
    _KEPT.append(library)


def _pool_regions(features: Tensor, *arguments: Any) -> Tensor:
    """The operator as torchvision writes it in PyTorch, without the compiler that it is wrapped in."""
    plain = sys.modules["torchvision.ops.roi_align"]._roi_align
    pooled: Tensor = getattr(plain, "__wrapped__", plain)(features, *arguments)
    return pooled


def _pooled_shape(
    features: Tensor, rois: Tensor, _scale: float, height: int, width: int, *_: object
) -> Tensor:
    return features.new_empty((rois.shape[0], features.shape[1], height, width))


def _keep_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.arguments = inputs[2:]


def _pool_regions_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The gradient of the features, by running the operator once more."""
    features, rois = ctx.saved_tensors
    with torch.enable_grad():
        again = features.detach().requires_grad_()
        pooled = _pool_regions(again, rois, *ctx.arguments)
        (found,) = torch.autograd.grad(pooled, again, gradient)
    return (found, *[None] * 6)
