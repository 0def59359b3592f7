"""Counting the floating-point operations of a run by torch's own formulas."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.utils.flop_counter import flop_registry

from prunecli.dispatch import LightDispatchMode


class FlopCount(LightDispatchMode):
    """Adds up what the formulas say of every operation; `FlopCounterMode` would load torch's compiler.

    `by_operation` holds the sums by name ("convolution", "addmm").
    """

    def __init__(self) -> None:
        super().__init__()
        self.by_operation: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            name = str(func.overloadpacket).partition(".")[2]
            self.by_operation[name] += int(formula(*args, **kwargs, out_val=result))
        return result
