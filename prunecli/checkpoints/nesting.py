"""Where in a training checkpoint the weights lie: found by looking, chosen by name, never by guessing.

Known places come first (`state_dict`, `model`, ...); averaged weights (EMA) are taken when asked for, or
when there are no others; a file with several possible places and no known name among them is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from prunecli.checkpoints.wording import counted, listed, shown
from prunecli.errors import InputRefused

DEPTH = 4
MOST_ENTRIES = 500_000

# Best first.
KNOWN_PLACES = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "net_state_dict",
    "module",
    "weights",
    "params",
    "backbone",
    "generator",
)
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_NOT_WEIGHTS = (
    "optim",
    "sched",
    "scaler",
    "loss",
    "criterion",
    "rng",
    "callbacks",
    "loops",
    "param_groups",
    "_metadata",
)


@dataclass(frozen=True, eq=False)
class Place:
    """A mapping of names to tensors somewhere in a checkpoint; `module` where it came out of a module."""

    where: tuple[str, ...]
    entries: Mapping[object, object]
    module: nn.Module | None

    @property
    def dotted(self) -> str:
        """Where it lay: "state_dict", "checkpoint.model"; empty for the whole file."""
        return ".".join(self.where)

    @property
    def tensors(self) -> int:
        """How many tensors it holds."""
        return _direct_tensors(self.entries)


@dataclass(frozen=True)
class Choice:
    """The place that was taken, the averaged weights that were left (if any), and what was decided."""

    place: Place
    averaged: Place | None
    notes: tuple[str, ...]


def is_average(word: str) -> bool:
    """Whether a key or a first name speaks of averaged weights: ema, model_ema, state_dict_ema, ..."""
    parts = word.lower().split("_")
    return "ema" in parts or "averaged" in parts or "swa" in parts


def choose_place(path: str, loaded: object, *, ema: bool) -> Choice:
    """The tensors of `loaded`; raises InputRefused when there are none, or several and none is known."""
    places = list(_places(loaded, (), _Budget(path)))
    averaged = [place for place in places if any(map(is_average, place.where))]
    plain = [place for place in places if place not in averaged]
    if not places:
        raise _nothing(path, loaded)
    if ema and averaged:
        return Choice(_best(path, averaged), None, ())
    if not plain:
        place = _best(path, averaged)
        return Choice(
            place, None, (f"the file holds averaged (EMA) weights only, under '{shown(place.dotted)}'",)
        )
    place = _best(path, plain)
    notes = []
    others = [other for other in plain if other is not place]
    if others:
        notes.append(f"left other weights alone: {listed(other.dotted for other in others)}")
    return Choice(place, averaged[0] if averaged else None, tuple(notes))


class _Budget:
    """How many entries may still be looked at: mappings that hold each other have no end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._left = MOST_ENTRIES

    def spend(self, entries: int) -> None:
        self._left -= entries + 1
        if self._left < 0:
            raise InputRefused(f"{shown(self._path)} is nested too widely to be a checkpoint")


def _places(value: object, where: tuple[str, ...], budget: _Budget) -> Iterator[Place]:
    if isinstance(value, nn.Module):
        yield _place_of(value, where)
        return
    if not isinstance(value, Mapping) or len(where) > DEPTH:
        return
    budget.spend(len(value))
    inner = [
        place
        for key, child in value.items()
        if isinstance(child, (Mapping, nn.Module)) and not _is_side_matter(key)
        for place in _places(child, (*where, str(key)), budget)
    ]
    own = _direct_tensors(value)
    known = any(_rank(place) < len(KNOWN_PLACES) for place in inner)
    if own and not known and own > sum(place.tensors for place in inner):
        yield Place(where, value, None)
    else:
        yield from inner


def _place_of(module: nn.Module, where: tuple[str, ...]) -> Place:
    """The module's own tensors, without the wrappers of DataParallel and torch.compile around it."""
    inner: object = module
    while isinstance(inner, nn.Module):
        module = inner
        inner = module.module if isinstance(module, _PARALLEL) else getattr(module, "_orig_mod", None)
    entries: dict[object, object] = {name: tensor for name, tensor in module.state_dict().items()}  # noqa: C416 - widens
    return Place(where, entries, module)


def _direct_tensors(value: Mapping[object, object]) -> int:
    return sum(isinstance(child, Tensor) and isinstance(key, (str, bytes)) for key, child in value.items())


def _is_side_matter(key: object) -> bool:
    return not isinstance(key, str) or any(word in key.lower() for word in _NOT_WEIGHTS)


def _rank(place: Place) -> int:
    known = [KNOWN_PLACES.index(word) for word in place.where if word in KNOWN_PLACES]
    return min(known, default=len(KNOWN_PLACES))


def _best(path: str, places: list[Place]) -> Place:
    if len(places) == 1:
        return places[0]
    ranked = sorted(places, key=_rank)
    if _rank(ranked[0]) < _rank(ranked[1]):
        return ranked[0]
    raise InputRefused(
        f"{shown(path)} holds weights in {len(places)} places and none is known to be the network's",
        hints=[
            "found: "
            + ", ".join(
                f"{shown(place.dotted)} ({counted(place.tensors, 'tensor')})" for place in places[:4]
            ),
            "save the one you mean by itself: torch.save(checkpoint[NAME], 'weights.pt')",
        ],
    )


def _nothing(path: str, loaded: object) -> InputRefused:
    keys = [key for key in loaded if isinstance(key, (str, int))] if isinstance(loaded, Mapping) else []
    what = f"a {type(loaded).__name__}" if not keys else f"the keys {listed(keys)}"
    return InputRefused(
        f"{shown(path)} holds no named tensors",
        hints=[
            f"found: {what}",
            "a checkpoint maps names to tensors, as torch.save(model.state_dict(), F) does",
        ],
    )
