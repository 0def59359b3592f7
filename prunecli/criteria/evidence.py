"""What criteria read: everything that may be known about one layer's filters.

F filters, K weights a filter, n calibration images, P positions of a feature map (1 for a linear layer on
vectors). The loss is the cross-entropy; L_b is that of image b alone, L its mean over images. Half-precision
tensors are held as float32.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor, a half-precision one as float32."""
    # Sums over thousands of weights overflow or stall in half precision (largest float16: 65504).
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor


class _AtLeastFloat32:
    """Holds the record's floating-point tensors in float32 or better."""

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if hasattr(value, "is_floating_point"):
                object.__setattr__(self, field.name, at_least_float32(value))


@dataclass(frozen=True, eq=False)
class BatchNormEvidence(_AtLeastFloat32):
    """The affine batch normalisation that follows a layer: four tensors of shape (F,)."""

    weight: Tensor
    """The scale gamma, (F,)."""
    bias: Tensor
    """The shift beta, (F,)."""
    mean: Tensor
    """The running mean, (F,)."""
    variance: Tensor
    """The running variance, (F,)."""
    epsilon: float = 1e-5


@dataclass(frozen=True, eq=False)
class Slices(_AtLeastFloat32):
    """What of one tensor leaves with the filters: one row a position of the axis that loses them."""

    tensor: str
    """The parameter's name, as in `layer1.0.conv2.weight`."""
    rows: Tensor
    """(R, K'): the tensor's slices at the positions that leave."""
    owner: Tensor
    """(R,) int64: the filter with which each row leaves."""


@dataclass(frozen=True)
class ChannelCost:
    """What removing one channel of the layer's group saves, in the network as it stands."""

    macs: float
    params: float
    activations: float
    """Elements of the feature maps of one image."""


@dataclass(frozen=True, eq=False)
class ConsumerEvidence(_AtLeastFloat32):
    """One layer that reads the filters' channels, with samples of what it reads."""

    layer: str
    weight: Tensor
    """(N, C): one row an output of the consumer, its weights flattened."""
    owner: Tensor
    """(C,) int64: the filter that makes each input column; −1 for channels of other layers."""
    samples: Tensor
    """(S, C): inputs of the consumer at sampled positions, patches flattened as its weights are."""


@dataclass(frozen=True, eq=False)
class ActivationEvidence(_AtLeastFloat32):
    """A filter's feature map behind its batch norm and activation function, over the calibration images."""

    pooled: Tensor
    """(n, F): the mean over positions, image by image."""
    absolute: Tensor
    """(F,): mean |a| over images and positions."""
    length: Tensor
    """(F,): mean over images of ‖a‖₂ over positions."""
    labels: Tensor
    """(n,) int64: the images' classes."""


@dataclass(frozen=True, eq=False)
class GateGradientEvidence(_AtLeastFloat32):
    """The loss's slope along a gate of value 1 on each feature map: Σ_p a ∂L_b/∂a."""

    per_image: Tensor
    """(n, F): of the layer's own feature maps."""
    coupled: Tensor
    """(n, F): summed over the layers whose filters leave together, as one gate on all of them."""
    positions: int
    """P, positions of a feature map."""
    batch_sizes: tuple[int, ...]
    """How the n images were batched, for scores that are defined on batches."""


@dataclass(frozen=True, eq=False)
class WeightGradientEvidence(_AtLeastFloat32):
    """The loss's gradient at the weights, over all images and batch by batch."""

    mean: Tensor
    """(F, K): ∂L/∂W of the mean loss over all n images."""
    products: Tensor
    """(batches, F): Σ_k W ∂L_batch/∂W, each of the mean loss of its batch."""


@dataclass(frozen=True, eq=False)
class OutputEvidence(_AtLeastFloat32):
    """A layer's linear output z (bias and normalisation not in it), and the loss's gradient g there."""

    energy: Tensor
    """(F,): mean over images of Σ_p z²."""
    gradient_energy: Tensor
    """(F,): mean over images of Σ_p g²."""
    products: Tensor
    """(n, F): Σ_p z g, which is Σ_k W_fk ∂L_b/∂W_fk, image by image."""
    positions: int
    """P, of all calls of the layer together."""


@dataclass(frozen=True, eq=False)
class AblationEvidence(_AtLeastFloat32):
    """What silencing a filter's feature map alone does to the network on the calibration images."""

    loss: Tensor
    """(F,): increase of the mean loss."""
    accuracy: Tensor
    """(F,): fall of the accuracy, in percentage points."""


@dataclass(frozen=True, eq=False)
class Evidence(_AtLeastFloat32):
    """What is known about one layer's filters; None is what the layer cannot have or nobody asked for."""

    layer: str
    """The module path, as in `layer1.0.conv1`."""
    weight: Tensor
    """(F, K): one row a filter, its weights flattened; float32 or float64."""
    kernel_shape: tuple[int, ...]
    """The weight's own shape, (F, C / groups, *kernel); (F, C) for a linear layer."""
    batch_norm: BatchNormEvidence | None = None
    """The normalisation behind the layer, None when it has none or one without scale and shift."""
    seed: int = 0
    coupled: tuple[Slices, ...] | None = None
    """Every parameter that loses something with the filters, the layer's own weight among them."""
    cost: ChannelCost | None = None
    synaptic_flow: Tensor | None = None
    """(F,): Σ |w ∂R/∂w| ÷ R over all that leaves with a filter; R: positive weights, an input of ones."""
    activation: ActivationEvidence | None = None
    zero_share: Tensor | None = None
    """(F,): share of exact zeros over images and positions; only behind a rectifier."""
    map_rank: Tensor | None = None
    """(F,): mean matrix rank of the feature map over sampled images; only of two-dimensional maps."""
    nuclear_drop: Tensor | None = None
    """(F,): mean fall of the nuclear norm of (F, P) when the filter's row is zeroed, over sampled images."""
    consumers: tuple[ConsumerEvidence, ...] | None = None
    gate_gradient: GateGradientEvidence | None = None
    weight_gradient: WeightGradientEvidence | None = None
    norm_products: Tensor | None = None
    """(batches, F): γ ∂L_batch/∂γ + β ∂L_batch/∂β; only with a batch norm."""
    output: OutputEvidence | None = None
    curvature: Tensor | None = None
    """(F,): mean over images of Σ_k (W ∂L_b/∂W)²."""
    hessian_product: Tensor | None = None
    """(F,): Σ_k W (H g), H the Hessian and g the gradient of the mean loss."""
    movement: Tensor | None = None
    """(F,): −Σ_t Σ_k W g over the steps t of a short training of a copy."""
    gate_path: Tensor | None = None
    """(F,): ∫ ∂L/∂m dm along the layer's gates going together from 0 to 1."""
    ablation: AblationEvidence | None = None
