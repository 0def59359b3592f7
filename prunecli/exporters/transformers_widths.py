"""The configuration of a transformers model that has a pruned network's widths, where there is one.

Every whole number of the configuration is doubled once, on the meta device: the sizes that follow it say
what it must be for the pruned network's sizes. A number that no size shows (of heads) is one that the modules
of the pruned network have in its place.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

Path = tuple[str | int, ...]
Shapes = Mapping[str, tuple[int, ...]]
MOST_TRIALS = 64
IDS = ("token_id", "label")  # numbers that are no widths


class NoConfiguration(Exception):
    """No configuration was found that has the widths; the text says what differs."""


@dataclass(frozen=True)
class Widths:
    """Sizes of all tensors, and the whole numbers among the attributes of modules other than torch's own."""

    shapes: Shapes
    attributes: Mapping[tuple[str, str], int]


def widths_of(model: nn.Module) -> Widths:
    """The widths of a network, on any device."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    attributes = {
        (path, name): value
        for path, module in model.named_modules()
        if not type(module).__module__.startswith("torch.")
        for name, value in vars(module).items()
        if type(value) is int and not name.startswith("_")
    }
    return Widths(shapes, attributes)


def fitting_configurations(kind: Any, configuration: Any, wanted: Widths) -> Iterator[Any]:
    """The configurations from which `kind` builds a network of the `wanted` sizes, the likeliest first.

    `configuration` is the one that it was built from before it was pruned. Raises NoConfiguration where
    there is none.
    """
    whole = _built(kind, configuration)
    if whole is None:
        raise NoConfiguration("its class cannot be built from its configuration")
    nearest: str | None = None
    fitting = 0
    paths = list(_numbers(configuration.to_dict()))
    options = [_candidates(kind, configuration, path, whole, wanted) for path in paths]
    for values in islice(product(*options), MOST_TRIALS):
        tried = _with(configuration, dict(zip(paths, values, strict=True)))
        found = None if tried is None else _built(kind, tried)
        if found is None:
            continue
        difference = _difference(found.shapes, wanted.shapes)
        if difference is None:
            fitting += 1
            yield tried
        nearest = nearest or difference
    if not fitting:
        raise NoConfiguration(nearest or "no configuration was accepted")


def _numbers(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Where in a configuration whole numbers above one stand."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            if not any(word in str(name) for word in IDS):
                yield from _numbers(value, (*path, name))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _numbers(value, (*path, index))
    elif type(tree) is int and tree > 1:
        yield path


def _candidates(kind: Any, configuration: Any, path: Path, whole: Widths, wanted: Widths) -> list[int]:
    """The values that one number may have, the likeliest first."""
    value = _at(configuration.to_dict(), path)
    doubled = _with(configuration, {path: 2 * value})
    found = None if doubled is None else _built(kind, doubled)
    likely = set() if found is None else _implied(value, whole.shapes, found.shapes, wanted.shapes)
    if not likely:
        likely = {
            wanted.attributes.get(place, value)
            for place, before in whole.attributes.items()
            if before == value
        }
    # A size may be a product of two numbers, of which one stays.
    return list(dict.fromkeys([*sorted(likely - {value}), value]))


def _implied(value: int, whole: Shapes, doubled: Shapes, wanted: Shapes) -> set[int]:
    """What the number must be for each size that follows it; nothing where none does."""
    if doubled.keys() != whole.keys() or wanted.keys() != whole.keys():
        return set()
    found = set()
    for name, shape in whole.items():
        for before, twice, now in zip(shape, doubled[name], wanted[name], strict=False):
            share = (now - before) * value / (twice - before) if twice != before else None
            if share is not None and share == int(share) and value + int(share) > 0:
                found.add(value + int(share))
    return found


def _difference(found: Shapes, wanted: Shapes) -> str | None:
    """The first size that is another one, in words."""
    for name, shape in wanted.items():
        if found.get(name) != shape:
            return f"{name} is {_sizes(shape)}, by one configuration for all layers {_sizes(found.get(name))}"
    return None


def _sizes(shape: Sequence[int] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape))


def _built(kind: Any, configuration: Any) -> Widths | None:
    """The widths of an empty network; None where the class does not take the configuration."""
    import torch

    try:
        with torch.device("meta"):
            return widths_of(kind(copy.deepcopy(configuration)))
    except Exception:  # a constructor refuses numbers in its own ways
        return None


def _with(configuration: Any, values: Mapping[Path, int]) -> Any:
    """The configuration with other numbers; None where its class does not take them."""
    document = copy.deepcopy(configuration.to_dict())
    for path, value in values.items():
        _at(document, path[:-1])[path[-1]] = value
    try:
        return type(configuration).from_dict(document)
    except Exception:  # as above
        return None


def _at(tree: Any, path: Path) -> Any:
    for step in path:
        tree = tree[step]
    return tree
