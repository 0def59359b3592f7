"""The losses of an epoch, kept where they were computed and looked at only now and then."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from prunecli.errors import WorkFailed

ADVICE = ("the learning rate may be too high: try a tenth of it", "or check the normalisation of the images")


class LossLog:
    """Collects the loss of every step; every `look_every` steps it is read and must be finite.

    Reading makes an accelerator wait for what it still computes, so there it is done seldom; on the CPU it
    costs nothing and is done before the step changes the weights.
    """

    def __init__(self, epoch: int, *, look_every: int) -> None:
        self._epoch = epoch
        self._look_every = look_every
        self._losses: list[Tensor] = []
        self._sizes: list[int] = []
        self._looked_at = 0

    @property
    def images(self) -> int:
        """How many images the steps so far have seen."""
        return sum(self._sizes)

    def add(self, loss: Tensor, size: int) -> None:
        """The mean loss (a scalar without gradient) of the next step, over `size` images."""
        self._losses.append(loss)
        self._sizes.append(size)
        if len(self._losses) - self._looked_at >= self._look_every:
            self.look()

    def look(self) -> None:
        """Raise WorkFailed, naming epoch and step (both from 1), for the first loss that is not finite."""
        fresh = self._losses[self._looked_at :]
        if not fresh:
            return
        odd = (~torch.isfinite(torch.stack(fresh))).nonzero().flatten().tolist()
        if odd:
            step = self._looked_at + odd[0]
            raise WorkFailed(
                f"the loss is {float(self._losses[step])} in epoch {self._epoch + 1}, step {step + 1}",
                hints=ADVICE,
            )
        self._looked_at = len(self._losses)

    def drop_last(self) -> None:
        """Forget the last step: it has not changed the weights."""
        self._losses.pop()
        self._sizes.pop()

    def tensors(self) -> dict[str, Tensor]:
        """The losses so far (steps,) and of how many images each was (steps,), to be restored later."""
        if not self._losses:
            return {}
        return {"values": torch.stack(self._losses).cpu(), "sizes": torch.tensor(self._sizes)}

    def restore(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Put `tensors()` of the same epoch back."""
        if tensors:
            self._losses = list(tensors["values"].to(device).unbind())
            self._sizes = tensors["sizes"].tolist()
            self._looked_at = len(self._losses)

    def last(self) -> float:
        """The loss of the last step."""
        return float(self._losses[-1])

    def mean(self) -> float:
        """The mean over all images so far, in float64."""
        sizes = torch.tensor(self._sizes, dtype=torch.float64)
        return float((torch.stack(self._losses).cpu().double() * sizes).sum() / sizes.sum())
