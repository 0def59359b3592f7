"""An exponential moving average of the weights, to be judged and kept in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from prunecli.training.states import named_tensors, restore, snapshot

# No tensor of a module has a name that ends in a dot.
_COUNT = "updates."


class Average:
    """The average of a model's tensors over the steps of a training, the later ones counting more.

    After update n (from 0), average ← d · average + (1 − d) · model, with d = min(decay, (1 + n) / (10 + n)):
    a training of few steps is not held back by the weights it started from, which after a cut are poor.
    Parameters and floating buffers are averaged, other buffers copied, those that a `state_dict` leaves out
    included. It takes the memory of one more model, and is kept in float32 where the model has less.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._kept = {name: _copy(tensor) for name, tensor in named_tensors(model)}
        self._updates = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Let the model count as it is now; call it after every step."""
        done = int(self._updates)
        decay = min(self._decay, (1 + done) / (10 + done))
        kept, current = [], []
        for name, tensor in named_tensors(model):
            target = self._kept[name]
            if _is_averaged(target):
                kept.append(target)
                current.append(tensor.detach().to(target.dtype))
            else:
                target.copy_(tensor)
        if kept:
            get_ema_multi_avg_fn(decay)(kept, current, None)  # type: ignore[no-untyped-call]
        self._updates += 1

    def tensors(self) -> dict[str, Tensor]:
        """What a run that is resumed needs: the live tensors by the model's names, and how many updates."""
        return {**self._kept, _COUNT: self._updates}

    @torch.no_grad()
    def restore(
        self, tensors: Mapping[str, Tensor], *, put: Callable[[Tensor, Tensor], object] = Tensor.copy_
    ) -> None:
        """Go on from the `tensors()` of an average of the same model; `put` writes one into its target."""
        for name, target in self.tensors().items():
            put(target, tensors[name])

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[None]:
        """Inside, the model holds the average; after it, whatever happened, what it held before, bit for bit.

        The parameters stay the same objects, so an optimiser goes on with them.
        """
        trained = snapshot(model)
        try:
            restore(model, self._kept)
            yield
        finally:
            restore(model, trained)


def _is_averaged(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _copy(tensor: Tensor) -> Tensor:
    """In float32 at least: half of the bits do not hold the small changes of an average."""
    copied = tensor.detach().clone()
    return copied.to(torch.promote_types(copied.dtype, torch.float32)) if _is_averaged(copied) else copied
