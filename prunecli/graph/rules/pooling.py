"""Pooling and resampling: channels pass, the spatial dimensions are new and fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prunecli.graph.labels import fixed
from prunecli.graph.rules.contract import Flow, coupling_rule

if TYPE_CHECKING:
    from prunecli.graph.tracing import Operation

SPATIAL = {
    1: """
        adaptive_avg_pool1d avg_pool1d max_pool1d reflection_pad1d replication_pad1d upsample_linear1d
        upsample_nearest1d _upsample_nearest_exact1d
    """,
    2: """
        adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d avg_pool2d fractional_max_pool2d
        max_pool2d max_pool2d_with_indices reflection_pad2d replication_pad2d upsample_bicubic2d
        _upsample_bicubic2d_aa upsample_bilinear2d _upsample_bilinear2d_aa upsample_nearest2d
        _upsample_nearest_exact2d
    """,
    3: """
        adaptive_avg_pool3d _adaptive_avg_pool3d adaptive_max_pool3d avg_pool3d max_pool3d_with_indices
        replication_pad3d upsample_nearest3d upsample_trilinear3d
    """,
}
COUNT = {f"aten.{name}": count for count, names in SPATIAL.items() for name in names.split()}


@coupling_rule(*COUNT)
def pooling(operation: Operation, flow: Flow) -> None:
    """(N, C, spatial…) → (N, C, new spatial…), for values and for indices."""
    x = operation.tensors()[0]
    count = COUNT[operation.name]
    axes = flow.axes(x)
    flow.protect(x, f"a spatial dimension of {operation.name}", range(len(axes) - count, len(axes)))
    for output in operation.outputs:
        flow.assign(output, [*axes[:-count], *(fixed(size) for size in output.shape[-count:])])


@coupling_rule("aten.grid_sampler_2d")
def grid_sampler(operation: Operation, flow: Flow) -> None:
    """Channels pass; the sampled positions come from the grid."""
    x, grid = operation.tensors()
    axes = flow.axes(x)
    flow.protect(grid, "a sampling position")
    flow.protect(x, "a sampled dimension", (2, 3))
    output = operation.outputs[0]
    flow.assign(output, [axes[0], axes[1], *(fixed(size) for size in output.shape[2:])])


@coupling_rule("torchvision.roi_align")
def pooled_regions(operation: Operation, flow: Flow) -> None:
    """Maps (N, C, H, W) and regions (R, 5) → (R, C, h, w): channels pass."""
    maps, regions = operation.tensors()
    flow.protect(regions, "a region's place")
    flow.protect(maps, "a pooled dimension", (0, 2, 3))
    output = operation.outputs[0]
    rows, spatial = output.shape[0], output.shape[2:]
    flow.assign(output, [fixed(rows), flow.axes(maps)[1], *(fixed(size) for size in spatial)])


@coupling_rule("aten.pixel_shuffle", "aten.pixel_unshuffle")
def pixel_shuffle(operation: Operation, flow: Flow) -> None:
    """Channels are channels × factor²: only all of a channel's sub-pixels may go together."""
    x, factor = operation.args[:2]
    axes, output = flow.axes(x), operation.outputs[0]
    square = factor * factor
    if operation.name.endswith("unshuffle"):
        channels = axes[-3].repeat(square, axis=0)
    else:
        channels, sub_pixels = flow.space.split(axes[-3], (x.shape[-3] // square, square))
        flow.space.pin(sub_pixels, "a sub-pixel position")
    flow.assign(output, [*axes[:-3], channels, *(fixed(size) for size in output.shape[-2:])])


@coupling_rule("aten.im2col")
def unfold(operation: Operation, flow: Flow) -> None:
    """(N, C, H, W) → (N, C·k², L): every tap of a channel leaves with it."""
    x, output = operation.args[0], operation.outputs[0]
    axes = flow.axes(x)
    taps = output.shape[1] // x.shape[1]
    flow.assign(output, [axes[0], axes[1].repeat(taps, axis=0), fixed(output.shape[2])])
