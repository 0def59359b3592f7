"""What may remain of a cost, as it is asked for: a share of what there was, or an amount."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from prunecli.errors import WrongUse, nearest

MACS, FLOPS, PARAMS, SIZE, LATENCY = KINDS = ("macs", "flops", "params", "size", "latency")

WORDS = {MACS: "MACs", FLOPS: "FLOPs", PARAMS: "parameters", SIZE: "bytes", LATENCY: "latency"}

_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
_BYTES = {
    **{"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30, "k": 10**3, "m": 10**6, "g": 10**9, "": 1},
}
_SECONDS = {"ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "µs": Fraction(1, 10**6), "s": Fraction(1)}
_UNITS: dict[str, dict[str, int | Fraction]] = {
    MACS: dict(_THOUSANDS),
    FLOPS: dict(_THOUSANDS),
    PARAMS: dict(_THOUSANDS),
    SIZE: dict(_BYTES),
    LATENCY: dict(_SECONDS),
}
_EXAMPLES = {MACS: "2e9", FLOPS: "4G", PARAMS: "3e6", SIZE: "10MB", LATENCY: "5ms"}
_AMOUNT = re.compile(r"(?P<number>[0-9.]+(?:e[+-]?[0-9]+)?)\s*(?P<unit>%|[a-zµ]*)")
_MOST = 10**18
VALID = (
    "macs, flops, params, size, latency = a share that may remain (0.5, 50%) or an amount (3e6, 10MB, 5ms)"
)


@dataclass(frozen=True)
class Target:
    """At most `amount` of the cost `kind` may remain: a share of what there was, or MACs, bytes, seconds."""

    kind: str
    amount: Fraction
    is_share: bool
    text: str
    """As it was written."""

    def limit(self, before: float) -> float:
        """The most that may remain where there was `before`."""
        return float(self.amount) * before if self.is_share else float(self.amount)


def read_target(text: str) -> Target:
    """`macs=0.5`, `params=3e6`, `size=10MB`, `latency=60%`; raises WrongUse for anything else."""
    kind, sign, given = (part.strip() for part in text.partition("="))
    kind = kind.lower()
    if not sign or kind not in KINDS:
        near = nearest(kind, KINDS)
        hints = [f"did you mean {near!r}?"] if near and near != kind else []
        raise WrongUse(f"{text!r} is no target", hints=[*hints, f"valid: {VALID}"])
    found = _AMOUNT.fullmatch(given.lower())
    unit = "" if found is None else found["unit"]
    try:
        number = Fraction(found["number"]) if found is not None else Fraction(0)
    except ValueError:
        number = Fraction(0)
    hints = [f"for example: {kind}=0.5 or {kind}={_EXAMPLES[kind]}"]
    if not 0 < number < _MOST:
        raise WrongUse(f"{given!r} is nothing that can remain of {kind}", hints=hints)
    if unit == "%" or (not unit and number <= 1):
        share = number / 100 if unit else number
        if share >= 1:
            raise WrongUse(f"{given} of {kind} leaves all there is", hints=hints)
        return Target(kind, share, True, f"{kind}={given}")
    if unit not in _UNITS[kind]:
        said = f"the unit {unit!r} is none" if unit else f"{given!r} lacks a unit"
        raise WrongUse(f"{said} of {kind}", hints=hints)
    return Target(kind, number * _UNITS[kind][unit], False, f"{kind}={given}")


def check_told(
    *,
    ratio: float | None,
    target: str | None,
    plan: str | None,
    layer_ratio: Mapping[str, float] | None,
    max_drop: float | None,
) -> None:
    """Raise WrongUse unless something says how much is to leave, and only one thing does."""
    named = {"--ratio": ratio, "--target": target, "--plan": plan}
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise WrongUse(f"{' and '.join(given)} both say how much to remove", hints=["give one of them"])
    if not given and not layer_ratio and max_drop is None:
        raise WrongUse(
            "prune needs to know how much to remove",
            hints=[
                "for example: --ratio 0.5, or what may remain: --target macs=0.5",
                "or how much accuracy may be lost: --max-drop 1.0, or a saved plan: --plan plan.json",
            ],
        )
