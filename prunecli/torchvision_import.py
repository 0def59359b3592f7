"""How torchvision is imported, also where its compiled operators do not load beside this torch.

A torchvision wheel built for CUDA stands beside a CPU build of torch when the two come from
different places; its extension then does not load, and importing the package fails when it
describes two of the missing operators. Only detectors use those: declaring them first lets
the models and the data sets be imported, and the operators themselves stay unusable.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

_DECLARATIONS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
COMPILER = "torch._dynamo"
_KEPT_ALIVE: list[Any] = []


@cache
def load_torchvision() -> ModuleType:
    """The torchvision package; raises ImportError where it is not installed or cannot be imported."""
    try:
        with _compiler_put_off():
            return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise ImportError(f"torchvision cannot be imported: {error}") from error
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    return _with_declared_operators()


@contextmanager
def _compiler_put_off() -> Iterator[None]:
    """Answer for the one function of torch's compiler that torchvision names, until somebody calls it.

    Importing the compiler takes as long as importing torch itself.
    """
    if COMPILER in sys.modules:
        yield
        return
    package, utilities = ModuleType(COMPILER), ModuleType(f"{COMPILER}.utils")
    package.__path__ = []
    utilities.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    placed = {package.__name__: package, utilities.__name__: utilities}
    sys.modules.update(placed)
    try:
        yield
    finally:
        for name, module in placed.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _is_compile_supported(device_type: str) -> bool:
    utilities: Any = importlib.import_module(f"{COMPILER}.utils")
    return bool(utilities.is_compile_supported(device_type))


def _with_declared_operators() -> ModuleType:
    import torch

    make_library: Any = torch.library.Library  # untyped in torch
    library = make_library("torchvision", "FRAGMENT")
    for declaration in _DECLARATIONS:
        library.define(declaration)
    _KEPT_ALIVE.append(library)
    try:
        with _compiler_put_off():
            return importlib.import_module("torchvision")
    except RuntimeError as error:
        raise ImportError(f"torchvision cannot be imported: {error}") from error
