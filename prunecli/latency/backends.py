"""What runs a network: torch as it is, with another layout, compiled, or onnxruntime. Names load no torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.errors import InputRefused, WrongUse
from prunecli.exporters.onnx_session import open_session

if TYPE_CHECKING:
    from torch import Tensor, nn

    from prunecli.graph.inputs import Calling

Run = Callable[[], object]
Prepare = Callable[["nn.Module", "Calling", "Sequence[Tensor]"], Run]

COMPILERS = ("g++", "clang++", "c++", "gcc", "clang")
MAPS = 4  # dimensions of a tensor that has channels to put last
ONNX = "onnxruntime"


@dataclass(frozen=True)
class Backend:
    """One way to run a network.

    `prepare` makes of a network and its inputs what runs them, and leaves both as they are; None where it is
    not the network that runs but a file written from it. `require` raises WrongUse where this machine lacks
    what it needs on a device.
    """

    name: str
    caption: str
    prepare: Prepare | None
    require: Callable[[str], None]


def _eager(model: nn.Module, calling: Calling, inputs: Sequence[Tensor]) -> Run:
    return lambda: calling.run(model, inputs)


def _channels_last(model: nn.Module, calling: Calling, inputs: Sequence[Tensor]) -> Run:
    import copy

    import torch

    last: Any = {"memory_format": torch.channels_last}
    turned = copy.deepcopy(model).to(**last)
    given = [each.to(**last) if each.dim() == MAPS else each for each in inputs]
    return lambda: calling.run(turned, given)


def _compiled(model: nn.Module, calling: Calling, inputs: Sequence[Tensor]) -> Run:
    import torch

    # Sizes are known: code for any size would be slower, and made anew for the second batch.
    compiled: Any = torch.compile(model, dynamic=False)
    return lambda: calling.run(compiled, inputs)


def _nothing(device: str) -> None:
    pass


def _needs_compiler(device: str) -> None:
    if device.startswith("cuda"):
        found, what, advice = find_spec("triton") is not None, "triton", "pip install triton"
    else:
        own = os.environ.get("CXX")
        found = any(shutil.which(each) for each in ((own,) if own else COMPILERS))
        what, advice = "a C++ compiler", "install g++ or clang, or set CXX"
    if not found:
        raise WrongUse(
            f"torch.compile needs {what}, and there is none here",
            hints=[advice, "or leave it out: --backend eager"],
        )


def _needs_onnxruntime(device: str) -> None:
    if find_spec(ONNX) is None:
        raise WrongUse("onnxruntime is not installed", hints=['pip install "prunecli[onnx]"'])
    _provider(device)


def _provider(device: str) -> str:
    """The part of onnxruntime that runs on `device`; raises WrongUse where this one has none."""
    import onnxruntime

    wanted = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}.get(device.partition(":")[0])
    if wanted not in onnxruntime.get_available_providers():
        raise WrongUse(f"this onnxruntime does not run on {device}", hints=["leave --device out: cpu"])
    return str(wanted)


BACKENDS = {
    each.name: each
    for each in (
        Backend("eager", "torch, operation by operation", _eager, _nothing),
        Backend("channels-last", "the same with channels last in memory", _channels_last, _nothing),
        Backend("compile", "torch.compile for these very sizes", _compiled, _needs_compiler),
        Backend(ONNX, "the network exported to ONNX", None, _needs_onnxruntime),
    )
}


def onnx_run(path: Path, *, batch: int, threads: int, device: str, shape: Sequence[int] | None = None) -> Run:
    """What runs an ONNX file on `batch` ones; `shape` is that of one input, where the file leaves it open.

    Raises InputRefused for a file that onnxruntime does not open, or whose batch or shape does not fit.
    """
    provider = _provider(device)
    try:
        # Threads that wait for the next call would take the processor from the network timed beside this one.
        session = open_session(path, threads=threads, provider=provider, waits_idle=True)
    except Exception as error:  # onnxruntime has a class for each of many failures
        raise InputRefused(
            f"onnxruntime does not open {str(path)!r}: {str(error).splitlines()[0]}"
        ) from error
    given = {each.name: _ones(path, each, batch=batch, shape=shape) for each in session.get_inputs()}
    return lambda: session.run(None, given)


def _ones(path: Path, argument: Any, *, batch: int, shape: Sequence[int] | None) -> Any:
    import numpy as np

    kinds = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
    first, *rest = argument.shape
    if shape is not None and len(shape) == len(rest):
        rest = [own if isinstance(own, int) else size for own, size in zip(rest, shape, strict=True)]
    if isinstance(first, int) and first != batch:
        raise InputRefused(
            f"{str(path)!r} takes batches of {first} only", hints=[f"add: --batch-size {first}"]
        )
    if not all(isinstance(size, int) for size in rest):
        raise InputRefused(
            f"{str(path)!r} leaves the shape of its input {argument.name!r} open",
            hints=["give the shape of one input without the batch: --input-shape 3x224x224"],
        )
    return np.ones((batch, *rest), dtype=kinds.get(argument.type, argument.type[len("tensor(") : -1]))
