"""Which device the work runs on, and what its memory errors mean in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from prunecli.errors import PrunecliError, WorkFailed, WrongUse, is_out_of_memory


def pick_device(name: str) -> torch.device:
    """The device called `name` ("cpu", "cuda", "cuda:1", "mps").

    Raises WrongUse for a name that is none, WorkFailed at once for a device that is not there.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise WrongUse(f"there is no device {name!r}", hints=["valid: cpu, cuda, cuda:0, mps"]) from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise WorkFailed(
            f"the device {name} is not available here",
            hints=[f"torch {torch.__version__} sees {count} CUDA devices", "type --device cpu instead"],
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise WorkFailed(f"the device {name} is not available here", hints=["type --device cpu instead"])
    return device


@contextmanager
def memory_in_words(batch_size: int) -> Iterator[None]:
    """Turn running out of memory, on the device or the host, into WorkFailed with what to type next."""
    try:
        yield
    except Exception as error:
        if isinstance(error, PrunecliError) or not is_out_of_memory(error):
            raise
        raise _too_large(batch_size, str(error)) from error


def _too_large(batch_size: int, reason: str) -> WorkFailed:
    hints = [reason.strip().partition("\n")[0], f"the batch size was {batch_size}; try half of it"]
    return WorkFailed("out of memory", hints=hints)
