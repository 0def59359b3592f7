"""One process or many: which one this is, and how they add up what each has found.

A launcher (`torchrun`, `accelerate launch`) starts the same command several times and says so in the
environment. Joining them is accelerate's work; without a launcher accelerate is not even imported.
"""

from __future__ import annotations

import gc
import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from prunecli.errors import WorkFailed

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import Tensor

HINT = "pip install 'prunecli[train]'"


def launched() -> tuple[int, int]:
    """Index and count of this process by what the launcher says; (0, 1) without one. Imports nothing."""
    try:
        index, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except (KeyError, ValueError):
        return 0, 1
    return (index, count) if 0 <= index < count else (0, 1)


def is_main() -> bool:
    """Whether this process is the one that prints and writes."""
    return launched()[0] == 0


class Processes:
    """The processes that do one piece of work together; here, a single one.

    `index` of `count`; the `main` one prints and writes. What is said of several must be called by all of
    them, in the same order.
    """

    index = 0
    count = 1

    @property
    def main(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.index == 0

    def place(self, device: torch.device) -> torch.device:
        """Where this process computes when the command says `device`: each has an accelerator of its own."""
        return device

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, the same in each; any shape and type."""
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in one of them."""
        return flag

    def forget(self) -> None:
        """Let go of what was prepared for joint work; all of it is done."""


class Launched(Processes):
    """One of several processes that a launcher started."""

    def __init__(self) -> None:
        if importlib.util.find_spec("accelerate") is None:
            raise WorkFailed("several processes are joined by accelerate, which is missing", hints=[HINT])
        self.index, self.count = launched()
        self._accelerator: Accelerator | None = None

    def accelerator(self, *, cpu: bool) -> Accelerator:
        """The joint work of these processes, begun at the first call, which says where they compute."""
        if self._accelerator is None:
            self._accelerator = _joined(cpu=cpu)
        return self._accelerator

    def place(self, device: torch.device) -> torch.device:
        """The device itself on the CPU, else the accelerator that belongs to this process."""
        found = self.accelerator(cpu=device.type == "cpu").device
        return device if device.type == "cpu" else found

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        import torch.distributed as processes

        # Joined for the CPU where nothing has said otherwise; a tensor elsewhere is summed where it lies.
        place = self.accelerator(cpu=tensor.device.type == "cpu").device
        summed = tensor.detach().to(place).clone()
        processes.all_reduce(summed)
        return summed.to(tensor.device)

    def any(self, flag: bool) -> bool:
        """Whether one of them says so."""
        import torch

        return bool(self.total(torch.tensor(int(flag))))

    def forget(self) -> None:
        """Let go of the networks that accelerate has prepared."""
        if self._accelerator is not None:
            self._accelerator.free_memory()


@lru_cache(maxsize=1)
def current() -> Processes:
    """The processes of this command, the same object at every call."""
    return Launched() if launched()[1] > 1 else Processes()


def leave() -> None:
    """End the joint work, if there was any, when every process has come to its end.

    Not for a process that failed: the others may wait for it elsewhere, and the launcher ends them.
    """
    if current.cache_info().currsize and current().count > 1:
        import torch.distributed as processes

        if processes.is_initialized():
            # What still holds the group (a copy of a network that hooks keep in a circle) would end its
            # threads only when the interpreter is gone, which aborts the process.
            current().forget()
            gc.collect()
            # Whoever leaves while another still waits for it takes the connection away from under it.
            processes.barrier()
            processes.destroy_process_group()


def sharding_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `accelerate launch --use_fsdp` asks for weights that are spread over the processes."""
    return environment.get("ACCELERATE_USE_FSDP", "").lower() in {"1", "true", "yes"}


def _joined(*, cpu: bool) -> Accelerator:
    from accelerate import Accelerator, DistributedDataParallelKwargs

    # The trainer averages buffers once an epoch.
    options: list[Any] = [DistributedDataParallelKwargs(broadcast_buffers=False)]
    with _output_to_errors():
        return Accelerator(cpu=cpu, mixed_precision="no", kwargs_handlers=options)


@contextmanager
def _output_to_errors() -> Iterator[None]:
    """What compiled code prints meanwhile goes to standard error: torch 2.10 greets on standard output."""
    try:
        kept = os.dup(1)
    except OSError:  # closed: nothing can be printed there
        yield
        return
    try:
        with suppress(OSError):
            os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
