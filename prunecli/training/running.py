"""A network made ready to run on the images of one part of a data set, and put back as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from prunecli.data import Split
from prunecli.processes import current
from prunecli.training.batches import Batches, shared_batches
from prunecli.training.device import memory_in_words, pick_device
from prunecli.training.forward import check_fit
from prunecli.training.layouts import lay_out, layout_kept
from prunecli.training.states import modes_kept


@contextmanager
def running(
    model: nn.Module,
    split: Split,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int,
    device: str,
) -> Iterator[Batches]:
    """The batches of this process, and inside `model` in evaluation mode on its device, where it is left.

    Raises InputRefused for images or classes that do not fit the model, WorkFailed for an absent device or
    too little memory, inside too.
    """
    place = current().place(pick_device(device))
    with memory_in_words(batch_size), modes_kept(model), layout_kept(model):
        model.to(place).eval()
        batches = shared_batches(model, split, mean=mean, std=std, batch_size=batch_size, device=place)
        check_fit(model, batches, classes=split.classes)
        lay_out(model, batches.first(2)[0])
        yield batches
