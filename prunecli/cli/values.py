"""Parsers of option values: text in, a typed value out, or `Unfit` with what is valid instead.

None of them touches the file system or loads torch, so a wrong value is refused at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from prunecli.errors import WrongUse

T = TypeVar("T")
AGREEMENT_METRICS = ("jaccard", "spearman", "kendall", "rbo")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DEVICE = re.compile(r"cpu|mps|cuda(:[0-9]+)?")
_SHAPE = re.compile(r"[1-9][0-9]*([x,][1-9][0-9]*)*")


class Unfit(Exception):
    """A value that the option cannot take; `valid` completes "takes …"."""

    def __init__(self, valid: str, *, example: str = "") -> None:
        super().__init__(valid)
        self.valid = valid
        self.example = example


class Shape(tuple[int, ...]):
    """An input shape without the batch, such as (3, 32, 32)."""

    __slots__ = ()


class Numbers(tuple[float, ...]):
    """Several numbers given as one value, such as 0.3,0.5."""

    __slots__ = ()


class Names(tuple[str, ...]):
    """Several names given as one value, such as l1,l2."""

    __slots__ = ()


@dataclass(frozen=True)
class LayerRatio:
    """A pruning ratio for the layers whose name matches a glob."""

    pattern: str
    ratio: float


@dataclass(frozen=True)
class AgreementGate:
    """A limit on how alike criteria may be; no criteria means every pair."""

    metric: str
    limit: float
    criteria: tuple[str, ...]


def ratio(text: str) -> float:
    """One pruning ratio, 0 < R < 1."""
    value = _finite(text)
    if value is None or not 0 < value < 1:
        raise Unfit("a fraction of channels to remove, 0 < R < 1", example="0.5")
    return value


def ratios(text: str) -> Numbers:
    """One or more pruning ratios with commas between them."""
    try:
        return Numbers(ratio(part) for part in _parts(text))
    except Unfit:
        raise Unfit("fractions of channels to remove, 0 < R < 1", example="0.3,0.5") from None


def target(text: str) -> str:
    """What may remain: macs=0.5, params=3e6, size=10MB, latency=60%."""
    from prunecli.allocation.targets import VALID, read_target

    try:
        return read_target(text).text
    except WrongUse as error:
        raise Unfit(f"{VALID}: {error.message}", example="macs=0.5") from None


def multiple(text: str) -> str:
    """A whole number from 1 on, or auto: the multiple that this machine likes."""
    given = text.strip().lower()
    return given if given == "auto" else str(whole(1)(text))


def multiple_of(text: str) -> int | str:
    """The same as the workflow takes it: a number, or the word."""
    return int(text) if text.isdecimal() else text


def layer_ratio(text: str) -> LayerRatio:
    """GLOB=R, such as `layer3.*=0.7`; a ratio of 0 keeps all channels of those layers."""
    pattern, sign, given = text.rpartition("=")
    value = _finite(given)
    if not sign or not pattern or value is None or not 0 <= value < 1:
        raise Unfit("GLOB=R with 0 <= R < 1", example="'layer3.*=0.7'")
    return LayerRatio(pattern=pattern, ratio=value)


def agreement_gate(text: str) -> AgreementGate:
    """METRIC=LIMIT or METRIC=LIMIT:NAME,NAME, such as jaccard=0.9:l1,l2."""
    from prunecli.criteria.specification import split_outside

    condition, _, names = text.partition(":")
    metric, _, given = condition.partition("=")
    limit = _finite(given)
    if metric.strip() not in AGREEMENT_METRICS or limit is None or not -1 <= limit <= 1:
        raise Unfit(
            f"METRIC=LIMIT with {', '.join(AGREEMENT_METRICS)} and -1 <= LIMIT <= 1",
            example="jaccard=0.9:l1,l2",
        )
    criteria = tuple("".join(name.split()) for name in split_outside(names)) if names else ()
    if len(criteria) == 1:
        raise Unfit("two or more criteria after the colon, or none for every pair", example="rbo=0.9:l1,l2")
    return AgreementGate(metric.strip(), limit, criteria)


def shape(text: str) -> Shape:
    """A shape written 3x32x32 or 3,32,32."""
    compact = text.replace(" ", "").lower()
    if not _SHAPE.fullmatch(compact):
        raise Unfit("a shape without the batch, such as 3x32x32", example="3x224x224")
    return Shape(int(part) for part in re.split("[x,]", compact))


def numbers(text: str) -> Numbers:
    """Finite numbers with commas between them: one for each input channel."""
    values = [_finite(part) for part in _parts(text)]
    found = Numbers(value for value in values if value is not None)
    if not found or len(found) != len(values):
        raise Unfit("numbers with commas between them, one a channel", example="0.485,0.456,0.406")
    return found


def positive_numbers(text: str) -> Numbers:
    """As `numbers`, all greater than zero."""
    found = numbers(text)
    if min(found) <= 0:
        raise Unfit("numbers greater than 0, one a channel", example="0.229,0.224,0.225")
    return found


def sha256(text: str) -> str:
    """The 64 hexadecimal digits of a file's own SHA-256."""
    digits = text.strip().lower().removeprefix("sha256:")
    if not _SHA256.fullmatch(digits):
        raise Unfit("the 64 hexadecimal digits of that file's own SHA-256")
    return digits


def hub_name(text: str) -> str:
    """A name on a model hub, `owner/name`."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", text, flags=re.ASCII):
        raise Unfit("a name on a model hub", example="owner/name")
    return text


def factory(text: str) -> str:
    """file.py:factory, a function without arguments that builds the network."""
    path, _, name = text.rpartition(":")
    if not path.endswith(".py") or not name.isidentifier():
        raise Unfit("FILE.py:FUNCTION, a function that builds the network", example="net.py:build")
    return text


def device(text: str) -> str:
    """cpu, mps, cuda or cuda:N; whether this machine has it is for the work to say."""
    if not _DEVICE.fullmatch(text):
        raise Unfit("cpu, cuda, cuda:N or mps")
    return text


def whole(at_least: int) -> Callable[[str], int]:
    """A parser of whole numbers from `at_least` on."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = at_least - 1
        if value < at_least:
            raise Unfit(f"a whole number from {at_least} on")
        return value

    return parse


def number(
    at_least: float, *, below: float = math.inf, most: float = math.inf, above: float | None = None
) -> Callable[[str], float]:
    """A parser of finite numbers in [at_least, below), up to `most`, or above `above` where that is given."""
    low = f"from {at_least:g}" if above is None else f"greater than {above:g}"
    valid = f"a number {low}" + ("" if below == math.inf else f" and below {below:g}")
    valid += "" if most == math.inf else f" to {most:g}"

    def parse(text: str) -> float:
        value = _finite(text)
        floor_met = value is not None and (value >= at_least if above is None else value > above)
        if value is None or not floor_met or value >= below or value > most:
            raise Unfit(valid)
        return value

    return parse


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def flat(groups: Iterable[Iterable[T]]) -> tuple[T, ...]:
    """The values of a repeated option in order, each once."""
    return tuple(dict.fromkeys(value for group in groups for value in group))
