"""What `bench` times: networks from checkpoints, and ONNX files as they are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunecli.cost.macs import measure
from prunecli.errors import WorkFailed, WrongUse
from prunecli.graph.calling import calling_of
from prunecli.graph.channel_graph import first_line
from prunecli.graph.inputs import Calling, weights_type
from prunecli.graph.meta import meta_copy
from prunecli.latency.backends import BACKENDS, ONNX, Run, onnx_run
from prunecli.latency.measuring import waiting_for
from prunecli.training.device import memory_in_words, pick_device
from prunecli.workflows.export import DTYPES, export
from prunecli.workflows.opening import Opening, open_checkpoint

STREAM = "-"


@dataclass(frozen=True)
class Setting:
    """How networks are run: by what, with how many threads, on how many inputs at once."""

    backend: str
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"{self.backend}, {self.threads} thread{'s' * (self.threads > 1)}, batch {self.batch}"


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchSubject:
    """One checkpoint or ONNX file: its name, what it costs, and how it is run.

    `model` is on the device; None for an ONNX file, whose costs are unknown. `notes` say how it was opened.
    """

    path: str
    opening: Opening
    dtype: str | None
    model: nn.Module | None = None
    calling: Calling | None = None
    macs: int | None = None
    params: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_onnx(self) -> bool:
        """Whether it is an ONNX file."""
        return self.model is None

    @property
    def weight_bytes(self) -> int:
        """Of all tensors of the network; 0 for an ONNX file, whose runtime holds them."""
        tensors = self.model.state_dict().values() if self.model is not None else ()
        return sum(each.numel() * each.element_size() for each in tensors)

    def runner(self, setting: Setting, onnx: Path | None = None) -> Run:
        """What runs it once and waits for the result; `onnx` is the file for onnxruntime.

        Raises WorkFailed where it does not run so.
        """
        backend, device = BACKENDS[setting.backend], self.opening.device
        try:
            if self.model is None or self.calling is None or backend.prepare is None:
                shape = self.opening.input_shape
                file = onnx or Path(self.path)
                return onnx_run(
                    file, batch=setting.batch, threads=setting.threads, device=device, shape=shape
                )
            inputs = self.calling.random(
                torch.Generator().manual_seed(0), weights_type(self.model), batch=setting.batch
            )
            with memory_in_words(setting.batch):
                run = backend.prepare(self.model, self.calling, [each.to(device) for each in inputs])
                run()  # what a backend prepares on its first call, it prepares now
        except (RuntimeError, TypeError, NotImplementedError, ImportError) as error:
            raise WorkFailed(
                f"{self.path} does not run on {setting}: {first_line(error)}",
                hints=["leave that backend out: --backend eager"],
            ) from error
        return _waited_for(run, waiting_for(device))


def _waited_for(run: Run, wait: Run | None) -> Run:
    if wait is None:
        return run

    def whole() -> None:
        run()
        wait()

    return whole


def open_subject(opening: Opening, *, dtype: str | None = None, path: str | None = None) -> BenchSubject:
    """The network of a checkpoint on its device, or an ONNX file; `dtype` ("fp16") unless its own.

    `path` is how it is called where that is not its path. Raises InputRefused for what cannot be opened,
    WorkFailed for a device that is not there.
    """
    if opening.checkpoint is not None and opening.checkpoint.endswith(".onnx"):
        if dtype is not None:
            raise WrongUse(f"{opening.checkpoint} has its types", hints=["leave --dtype out"])
        return BenchSubject(path=opening.checkpoint, opening=opening, dtype=None)
    pick_device(opening.device)
    opened = open_checkpoint(opening)
    model, shape = opened.model.eval(), opened.architecture.input_shape
    cost = measure(model, shape)
    calling = calling_of(meta_copy(model).eval(), shape)
    if dtype is not None:
        model = model.to(DTYPES[dtype])
    return BenchSubject(
        path=path or opened.checkpoint.path,
        opening=opening,
        dtype=dtype,
        model=model.to(opening.device),
        calling=calling,
        macs=cost.macs,
        params=cost.params,
        notes=opened.notes,
    )


@contextmanager
def exported(subjects: list[BenchSubject], *, wanted: bool) -> Iterator[list[Path | None]]:
    """An ONNX file of each network, checked as by `export`; None where it is one, or none is `wanted`."""
    with tempfile.TemporaryDirectory() as folder:
        yield [
            _exported(each, Path(folder) / f"{number}.onnx") if wanted and not each.is_onnx else None
            for number, each in enumerate(subjects)
        ]


def _exported(subject: BenchSubject, path: Path) -> Path:
    export(replace(subject.opening, device="cpu"), to="onnx", dtype=subject.dtype, output=str(path))
    return path


@contextmanager
def standard_input_kept(openings: list[Opening]) -> Iterator[list[Opening]]:
    """The same openings, with what comes by standard input in a file: it is read more than once.

    Raises WrongUse where more than one is to come that way.
    """
    import sys

    piped = [number for number, each in enumerate(openings) if each.checkpoint == STREAM]
    if len(piped) > 1:
        raise WrongUse("standard input holds one checkpoint", hints=["give the others by their paths"])
    if not piped:
        yield openings
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard input"
        path.write_bytes(sys.stdin.buffer.read())
        kept = list(openings)
        kept[piped[0]] = replace(openings[piped[0]], checkpoint=str(path))
        yield kept


def check_backends(subjects: list[BenchSubject], backends: tuple[str, ...]) -> None:
    """Raise WrongUse for an ONNX file that is to be run by anything but onnxruntime."""
    files = [each.path for each in subjects if each.is_onnx]
    others: list[Any] = [name for name in backends if name != ONNX]
    if files and others:
        raise WrongUse(
            f"{files[0]} runs in onnxruntime only, not by {others[0]}", hints=["add: --backend onnxruntime"]
        )
