"""Networks from the user's own code: "file.py:factory".

Code runs only where the user names it: a checkpoint that says "file/net.py:factory" is not enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from prunecli.architectures.architecture import Architecture
from prunecli.errors import InputRefused, WrongUse
from prunecli.user_code import function_in, run_file

Factory = Callable[[], nn.Module]


@dataclass(frozen=True)
class _Trusted:
    """A factory that the user named in this process."""

    path: Path
    factory: Factory


_TRUSTED: dict[str, _Trusted] = {}


def from_factory(spec: str, *, input_shape: Sequence[int]) -> tuple[nn.Module, Architecture]:
    """Import the file, call the factory without arguments; its network in eval mode and how to name it.

    `spec` is "file.py:factory", `input_shape` is without the batch. From then on `build` knows the
    architecture, in this process. Raises WrongUse for a spec of another form, InputRefused when the file
    or the name in it is missing, when the code raises, or when it gives something that is no nn.Module.
    """
    location, _, word = spec.rpartition(":")
    if not location or not word.isidentifier():
        raise WrongUse(f"{spec!r} is not of the form file.py:factory", hints=["example: net.py:make_model"])
    path = Path(location)
    if not path.is_file():
        raise InputRefused(f"no file {location!r}", hints=["the part before the colon is a Python file"])
    factory = function_in(run_file(path), spec)
    name = _free_name(path.resolve(), word)
    _TRUSTED[name] = _Trusted(path.resolve(), _checked(factory, spec))
    return _TRUSTED[name].factory().eval(), Architecture(name, {}, tuple(input_shape))


def trusted_factory(architecture: Architecture) -> Factory:
    """The factory behind "file/…"; raises InputRefused when nobody named it in this process."""
    known = _TRUSTED.get(architecture.name)
    if known is None:
        spec = architecture.short_name
        raise InputRefused(
            f"the architecture is in the file of its author, {spec}",
            hints=["code from a checkpoint is not run by itself", f"give it with: --model PATH/{spec}"],
        )
    return known.factory


def _checked(factory: Callable[[], Any], spec: str) -> Factory:
    """The factory with its failures and its type told as refusals."""

    def make() -> nn.Module:
        try:
            built = factory()
        except TypeError as error:
            raise InputRefused(
                f"{spec} failed: {error}", hints=["the factory is called without arguments"]
            ) from error
        if not isinstance(built, nn.Module):
            raise InputRefused(f"{spec} gave {type(built).__name__}, not a torch.nn.Module")
        return built

    return make


def _free_name(path: Path, word: str) -> str:
    """The shortest "file/net.py:make" that no other file has, with parent folders where needed."""
    parts = path.parts[1:]
    for depth in range(1, len(parts) + 1):
        name = f"file/{'/'.join(parts[-depth:])}:{word}"
        if name not in _TRUSTED or _TRUSTED[name].path == path:
            return name
    raise WrongUse(f"{path.name}:{word} cannot be told from another factory of that name")
