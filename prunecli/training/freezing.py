"""Layers that stay as they are while the rest trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from prunecli.errors import WrongUse, nearest


def freeze(model: nn.Module, globs: Sequence[str]) -> tuple[str, ...]:
    """Take the gradient from every parameter in the modules whose names match one of `globs`.

    `*` matches dots too, so `layer1*` is `layer1` and all that begins so; a module is frozen with all inside
    it, and a weight that it shares with another is frozen there as well. What lies between the input and the
    first layer that still trains is then not run backward at all. Returns the outermost frozen names in the
    model's order. Raises WrongUse, with nothing changed, for a glob that matches no module and when no
    parameter would be left to train.
    """
    modules = {name: each for name, each in model.named_modules(remove_duplicate=False) if name}
    chosen: set[str] = set()
    for glob in globs:
        matched = {name for name in modules if fnmatchcase(name, glob)}
        if not matched:
            raise _no_such_module(glob, modules)
        chosen |= matched
    frozen = [name for name in modules if name in chosen]
    held = {id(each) for name in frozen for each in modules[name].parameters()}
    if frozen and not any(each.requires_grad and id(each) not in held for each in model.parameters()):
        raise WrongUse(
            "nothing is left to train: every parameter is frozen",
            hints=[f"given: {', '.join(globs)}", "leave out a glob, or take a narrower one"],
        )
    for name in frozen:
        modules[name].requires_grad_(False)
    return tuple(name for name in frozen if not any(outer in chosen for outer in _around(name)))


def frozen_modes(model: nn.Module, names: Iterable[str]) -> None:
    """Put the batch norms in the frozen modules `names` in evaluation mode: their statistics do not move.

    Every `model.train()` undoes it, so it is called after each. Dropout in frozen modules stays on.
    """
    for name in names:
        for module in model.get_submodule(name).modules():
            if isinstance(module, _NormBase):
                module.eval()


@contextmanager
def gradients_kept(model: nn.Module) -> Iterator[None]:
    """Whatever is frozen inside, every parameter has the `requires_grad` that it had, after it."""
    before = [(each, each.requires_grad) for each in model.parameters()]
    try:
        yield
    finally:
        for parameter, wanted in before:
            parameter.requires_grad_(wanted)


def _around(name: str) -> list[str]:
    """The names of the modules that `a.b.c` is in: `a` and `a.b`."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _no_such_module(glob: str, names: Iterable[str]) -> WrongUse:
    listed = list(names)
    near = nearest(glob, listed)
    hints = [f"did you mean {near!r}?"] if near else []
    outermost = [name for name in listed if "." not in name]
    hints.append(f"the outermost modules: {', '.join(outermost[:12])}{', …' if len(outermost) > 12 else ''}")
    return WrongUse(f"no module is called {glob!r}, so there is nothing to freeze", hints=hints)
