"""How an amount is written beside a limit, so that a reader sees on which side of it it lies."""

from __future__ import annotations

from dataclasses import dataclass

_DIGITS = (0, 1, 2, 3, 4, 6, 9, 12)


@dataclass(frozen=True)
class Unit:
    """How amounts of a kind are written: scaled, with at least `digits`, and with `suffix` behind.

    `form` is that of a format specification: "f" counts digits after the point, "g" all that matter. A
    `counted` suffix is a noun, which 1 has in the singular.
    """

    name: str
    suffix: str = ""
    digits: int = 2
    scale: float = 1.0
    form: str = "f"
    counted: bool = False

    def exactly(self, amount: float) -> str:
        """A limit as it was asked for."""
        return self._with_suffix(f"{amount * self.scale:,.12g}")

    def beside(self, amount: float, limit: float) -> str:
        """An amount, with as many digits as tell it from the limit."""
        return self._with_suffix(
            apart(amount * self.scale, limit * self.scale, digits=self.digits, form=self.form)
        )

    def _with_suffix(self, text: str) -> str:
        suffix = self.suffix.removesuffix("s") if self.counted and text == "1" else self.suffix
        return f"{text}{suffix}"


POINTS = Unit("points", " points", counted=True)
PERCENT = Unit("percent", " %")
SHARE = Unit("share", " %", 1, 100.0)
MACS = Unit("macs", " MACs", 0, counted=True)
PARAMS = Unit("params", " parameters", 0, counted=True)
BYTES = Unit("bytes", " bytes", 0, counted=True)
SECONDS = Unit("seconds", " ms", 3, 1000.0)
TIMES = Unit("times", "x")
ERROR = Unit("error", form="g")
LOSS = Unit("loss", digits=4)
FLAG = Unit("flag")

UNITS = {
    unit.name: unit
    for unit in (POINTS, PERCENT, SHARE, MACS, PARAMS, BYTES, SECONDS, TIMES, ERROR, LOSS, FLAG)
}


def apart(value: float, limit: float, *, digits: int = 2, form: str = "f") -> str:
    """`value` with at least `digits`, and as many more as show on which side of `limit` it lies."""
    for count in _DIGITS:
        if count >= digits:
            text = f"{value:,.{count}{form}}"
            written = float(text.replace(",", ""))
            if (written > limit) == (value > limit) and (written < limit) == (value < limit):
                return text
    return repr(value)
