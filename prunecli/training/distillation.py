"""Learning from a teacher: its soft labels, and which images it finds alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecli.errors import InputRefused, WrongUse
from prunecli.training.batches import floating_dtype
from prunecli.training.forward import logits_of
from prunecli.training.states import modes_kept


def soft_loss(logits: Tensor, taught: Tensor, *, temperature: float) -> Tensor:
    """How far the student's probabilities are from the teacher's, both softened (nats, a scalar).

    T² · mean over images of Σ_c p_c · ln(p_c / q_c),  p = softmax(taught / T), q = softmax(logits / T)

    `logits` and `taught` are (B, classes). The factor T² keeps the gradient's size when T changes.
    Hinton et al. 2015 (arXiv:1503.02531).
    """
    student = functional.log_softmax(_full(logits) / temperature, dim=1)
    teacher = functional.log_softmax(_full(taught) / temperature, dim=1)
    divergence = functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def similarity_loss(features: Tensor, taught: Tensor) -> Tensor:
    """How differently student and teacher find the images of a batch alike (a scalar).

    ‖G_T − G_S‖²_F / B²,  G = A Aᵀ with rows of length 1 (B, B),  A = a feature map as (B, C·H·W)

    Only the number of images B is the same for both; width, height and channels may differ.
    Tung & Mori 2019 (arXiv:1907.09682); there its weight is 3000 for CIFAR-10.
    """
    # Under autocast the products would be of 16 bits again.
    with torch.autocast(features.device.type, enabled=False):
        return (_alike(taught) - _alike(features)).square().sum() / len(features) ** 2


def _alike(features: Tensor) -> Tensor:
    rows = _full(features).flatten(1)
    return functional.normalize(rows @ rows.T, dim=1)


def _full(tensor: Tensor) -> Tensor:
    """In float32 at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


class Teacher:
    """A trained network whose answers on the same images join the loss of a student.

    It is moved to the device of `sample_images` (a few images as the student takes them), runs in evaluation
    mode and without gradients, and is never changed. `weight` is the share of its soft labels in the loss,
    `temperature` softens them, `similarity` weighs the similarity-preserving loss, which compares the last
    feature maps (B, C, H, W) with more than one position of the two networks. `label_weight` is what the
    loss from the labels counts, None for the share that `weight` leaves.

    A step runs the student inside `watching()` and gives what came out to `loss`, both inside the autocast
    of the step if there is one. Between steps no hook is on either network, so that they can be copied and
    pickled. Student is the network itself, not a wrapper of DistributedDataParallel around it.

    Raises WrongUse when teacher and student are one object, InputRefused when the teacher does not take the
    images, when the two differ in their number of classes, or when there is no feature map to compare.
    """

    def __init__(
        self,
        model: nn.Module,
        student: nn.Module,
        *,
        weight: float,
        temperature: float,
        similarity: float,
        sample_images: Tensor,
        label_weight: float | None = None,
    ) -> None:
        if model is student:
            raise WrongUse("a network cannot be its own teacher", hints=["give a copy of it"])
        self._model = model.to(sample_images.device).eval()
        self._dtype = floating_dtype(model)
        self._weight = weight
        self._label_weight = 1 - weight if label_weight is None else label_weight
        self._temperature = temperature
        self._similarity = similarity
        self._maps: list[Tensor] = []
        shape = "x".join(map(str, sample_images.shape[1:]))
        try:
            classes, layer = _classes_and_last_map(model, sample_images.to(self._dtype))
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise InputRefused(f"the teacher does not take images of {shape}", hints=[reason]) from error
        with modes_kept(student):
            own_classes, own_layer = _classes_and_last_map(student.eval(), sample_images)
        if classes != own_classes:
            raise InputRefused(
                f"the teacher has {classes} outputs and the model {own_classes}",
                hints=["a teacher knows the same classes in the same order: the dense original, say"],
            )
        self._layer = self._own_layer = None
        if similarity > 0:
            self._layer = _need(layer, "teacher", shape)
            self._own_layer = _need(own_layer, "model", shape)

    @property
    def watched(self) -> nn.Module | None:
        """The student's module whose output is compared, None without similarity."""
        return self._own_layer

    @contextmanager
    def watching(self) -> Iterator[None]:
        """What the student's forward pass runs inside of, so that `loss` has its feature map."""
        self._maps = []
        if self._own_layer is None:
            yield
            return
        with _caught(self._own_layer) as self._maps:
            yield

    def loss(self, images: Tensor, logits: Tensor, hard_loss: Tensor) -> Tensor:
        """label_weight · hard + weight · soft + similarity · similarity-preserving loss, a scalar.

        label_weight is 1 − weight unless it is given. As `soft` has the factor T², a weight of 1 / T² beside
        a label_weight of 1 is hard + KL(p ‖ q), the sum that ICE trains with at T = 2 (arXiv:2505.07411).

        `images` (B, C, H, W) are those that the student just gave `logits` (B, classes) for, and `hard_loss`
        is its mean loss from their labels, whatever these are: classes, smoothed or mixed ones.
        """
        taught, features = self._answers(images)
        soft = soft_loss(logits, taught, temperature=self._temperature)
        loss = self._label_weight * hard_loss + self._weight * soft
        if features is None:
            return loss
        if not self._maps:
            raise RuntimeError("the student has not run inside watching() since the last loss()")
        return loss + self._similarity * similarity_loss(self._maps.pop(), features)

    @torch.no_grad()
    def _answers(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """The teacher's logits and, where it is asked for, its feature map."""
        images = images.to(self._dtype)
        if self._layer is None:
            return logits_of(self._model(images)), None
        with _caught(self._layer) as maps:
            return logits_of(self._model(images)), maps.pop()


@contextmanager
def _caught(layer: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds what `layer` put out at its last call inside."""
    maps: list[Tensor] = []

    def catch(module: nn.Module, inputs: object, output: Tensor) -> None:
        maps[:] = [output]

    handle = layer.register_forward_hook(catch)
    try:
        yield maps
    finally:
        handle.remove()


@torch.no_grad()
def _classes_and_last_map(model: nn.Module, images: Tensor) -> tuple[int, nn.Module | None]:
    """The width of the logits, and the module that was the last to put out a feature map.

    Maps of one position are left out: they come from pooling, and from layers behind it.
    """
    last: list[nn.Module] = []

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.shape[2:].numel() > 1:
            last[:] = [module]

    handles = [each.register_forward_hook(note) for each in model.modules()]
    try:
        classes = logits_of(model(images)).shape[1]
    finally:
        for handle in handles:
            handle.remove()
    return classes, last[0] if last else None


def _need(layer: nn.Module | None, whose: str, shape: str) -> nn.Module:
    if layer is None:
        raise InputRefused(
            f"the {whose} has no feature map of images of {shape} to compare",
            hints=["distil without similarity"],
        )
    return layer
