"""What the modules of a network do while it runs: which are called, and which ask whether they train."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn

Forward = Callable[..., Any]
Around = Callable[[str, Forward, tuple[Any, ...], dict[str, Any]], Any]

FORWARD, TRAINING = "forward", "training"
_one_at_a_time = threading.Lock()


@contextmanager
def forwards_go_through(modules: Sequence[tuple[str, nn.Module]], around: Around) -> Iterator[None]:
    """Every forward of these becomes `around(path, forward, args, kwargs)`, which goes on with it.

    An instance's own forward comes before that of its class. That costs less than a hook at every call, and
    much less than another method for the class of all modules.
    """
    instances = [(vars(module), path, module.forward) for path, module in modules]
    own = [table.get(FORWARD) for table, _, _ in instances]
    try:
        for table, path, forward in instances:
            table[FORWARD] = partial(_through, around, path, forward)
        yield
    finally:
        for (table, _, _), before in zip(instances, own, strict=True):
            if before is None:
                table.pop(FORWARD, None)
            else:
                table[FORWARD] = before


def _through(around: Around, path: str, forward: Forward, /, *args: Any, **kwargs: Any) -> Any:
    return around(path, forward, args, kwargs)


@contextmanager
def asking_whether_they_train() -> Iterator[dict[int, nn.Module]]:
    """The modules, by identity, whose attribute `training` is read meanwhile; one such look at a time."""
    asking: dict[int, nn.Module] = {}

    def answer(module: nn.Module) -> bool:
        asking[id(module)] = module
        return bool(vars(module)[TRAINING])

    def take(module: nn.Module, training: bool) -> None:
        vars(module)[TRAINING] = training

    with _one_at_a_time:
        # A property of the class comes before what an instance has under its name.
        nn.Module.training = property(answer, take)  # type: ignore[assignment]
        try:
            yield asking
        finally:
            del nn.Module.training
