"""What an exported network is called with: tensors by position, random ones and real ones."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from prunecli.data import normalise
from prunecli.errors import InputRefused, WorkFailed
from prunecli.exporters.comparison import tensors_of
from prunecli.exporters.contract import Batch
from prunecli.graph.calling import calling_of, callings_of
from prunecli.graph.inputs import Calling, Input
from prunecli.graph.meta import meta_copy
from prunecli.workflows.data import open_images
from prunecli.workflows.opening import Opened

SAMPLES = 16
LARGE_BATCH = 3
SINGLE = "input"


@dataclass(frozen=True, eq=False)
class ExportInputs:
    """How the network is called, what its inputs are called, and what it gives for each batch.

    `example` is one more batch, of two: a batch of one would be taken for a constant.
    """

    calling: Calling
    names: tuple[str, ...]
    batches: tuple[Batch, ...]
    example: tuple[Tensor, ...]
    notes: tuple[str, ...]


def calling_for_export(opened: Opened) -> Calling:
    """How the network of a checkpoint is called; raises WorkFailed where only parts of it can be."""
    shape = opened.architecture.input_shape
    callings = callings_of(opened.model, shape)
    if callings[0].parts is not None:
        raise WorkFailed(
            f"{opened.architecture.name} cannot be exported: what it gives depends on values (the boxes of "
            "a detector)",
            hints=["its weights can: --to safetensors"],
        )
    return callings[0] if len(callings) == 1 else calling_of(meta_copy(opened.model), shape)


def by_position(model: nn.Module, calling: Calling) -> nn.Module:
    """A copy of `model` on the CPU, in evaluation mode, that takes the calling's inputs by position.

    What gives more than tensors by name gives a list of tensors. Names and classes of its parts stay.
    """
    made = copy.deepcopy(model).cpu().eval()
    for parameter in made.parameters():
        parameter.requires_grad_(False)
    if not calling.names and not calling.settings and calling.result is None:
        return made
    forward = type(made).forward

    def called(self: nn.Module, *inputs: Tensor) -> list[Tensor]:
        args, kwargs = calling.arguments(inputs)
        found = forward(self, *args, **kwargs)
        return tensors_of(found if calling.result is None else calling.result(found))

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = ("self", *_names(calling))
    called.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in names])  # type: ignore[attr-defined]
    # A class of the same name: some libraries look at it, and the tracers take the forward from the class.
    made.__class__ = type(type(made).__name__, (type(made),), {"forward": called})
    return made


def inputs_for_export(opened: Opened, data: str | None) -> ExportInputs:
    """Random inputs, and real images of `data` where the network takes one image.

    The bundled digits serve where they fit and nothing was said. What is expected is computed by the network
    as it is, in at least single precision. Raises InputRefused for data that does not fit.
    """
    calling = calling_for_export(opened)
    precise = torch.float64 if opened.dtype == "float64" else torch.float32
    reference = by_position(opened.model, calling).to(precise)
    generator = torch.Generator().manual_seed(0)
    random = [calling.random(generator, precise, batch=size) for size in (1, LARGE_BATCH)]
    images, notes = _images(opened, calling, data)
    real = [(part.to(precise),) for part in images]
    with torch.no_grad():
        batches = [
            Batch(inputs, tuple(tensors_of(reference(*inputs))), real=number >= len(random))
            for number, inputs in enumerate([*random, *real])
        ]
    example = calling.random(torch.Generator().manual_seed(1), precise, batch=2)
    return ExportInputs(calling, _names(calling), tuple(batches), example, notes)


def in_type(inputs: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """The inputs with their numbers in the type of the weights; ids stay."""
    return tuple(each.to(dtype) if each.is_floating_point() else each for each in inputs)


def _names(calling: Calling) -> tuple[str, ...]:
    if calling.names:
        return calling.names
    return (
        (SINGLE,) if len(calling.inputs) == 1 else tuple(f"{SINGLE}{n}" for n in range(len(calling.inputs)))
    )


def _images(opened: Opened, calling: Calling, data: str | None) -> tuple[Sequence[Tensor], tuple[str, ...]]:
    """Batches of real images, the first of one; none where none were asked for and the digits do not fit."""
    one_image = calling.inputs == (Input(opened.architecture.input_shape),)
    if data is not None and not one_image:
        raise InputRefused(f"{opened.architecture.name} does not take one image: there is no data for it")
    if not one_image:
        return (), ()
    try:
        images = open_images(opened, data)
    except InputRefused:
        if data is not None:
            raise
        return (), ("compared on random inputs only: --data gives real ones",)
    given = normalise(images.data.test.pixels(slice(SAMPLES)), images.mean, images.std)
    starts = (0, *range(1, len(given), LARGE_BATCH)) if len(given) else ()
    return [given[start : start + LARGE_BATCH if start else 1] for start in starts], images.notes
