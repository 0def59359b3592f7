"""Plain values that a training checkpoint keeps beside its weights (epoch, accuracy, ...), for display."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor

from prunecli.checkpoints.wording import SHOWN_CHARACTERS, shown

MOST_FACTS = 64
_MOST_LOOKED_AT = 1000

Fact = str | int | float | bool | None


def facts_of(loaded: object) -> dict[str, Fact]:
    """Name to value of the plain values at the top and one level below ("args.lr"); at most 64.

    Values are JSON: a number that is not finite is None, text is escaped and cut.
    """
    found: dict[str, Fact] = {}
    for name, child in islice(_pairs(loaded), _MOST_LOOKED_AT):
        if isinstance(child, Mapping):
            inner = islice(_pairs(child), MOST_FACTS)
            found.update((f"{name}.{key}", _plain(value)) for key, value in inner if _is_plain(value))
        elif isinstance(child, Tensor):
            number = Tensor.detach(child)
            if number.dim() == 0 and number.layout is torch.strided and number.device.type == "cpu":
                found[name] = _plain(number.item())
        elif _is_plain(child):
            found[name] = _plain(child)
    return dict(islice(found.items(), MOST_FACTS))


def _pairs(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        yield from ((shown(key), child) for key, child in value.items() if isinstance(key, (str, int)))


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _plain(value: object) -> Fact:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else hex(value)[:SHOWN_CHARACTERS]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return shown(value)
