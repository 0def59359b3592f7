"""What thop, the counter of most pruning papers, says of the same model.

thop leaves `total_ops` and `total_params` buffers on what it profiles, prints, and writes to the root
logger; it therefore runs on a copy and in silence.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from prunecli.cost.trial import Call, Inputs, with_a_copy
from prunecli.errors import InputRefused


@dataclass(frozen=True)
class ThopLayer:
    """A layer that thop counts: what it says of it, and the module's class."""

    kind: str
    macs: int
    params: int


@dataclass(frozen=True)
class ThopFigures:
    """thop's totals, None with a `reason` when it is not installed or fails on the model."""

    macs: int | None
    params: int | None
    reason: str | None = None
    layers: Mapping[str, ThopLayer] = field(default_factory=dict)
    """Module path → what thop counts there; the model itself is the empty path."""
    notes: tuple[str, ...] = ()

    def document(self) -> dict[str, int | None]:
        """The JSON of the two totals."""
        return {"macs": self.macs, "params": self.params}


def thop_figures(
    model: nn.Module, input_shape: Sequence[int], *, inputs: Inputs | None = None
) -> ThopFigures:
    """The figures of thop for one forward pass at batch 1; `model` is left as it is.

    Never raises for what thop does: the reason stands in the result.
    """
    try:
        with _silence():
            import thop  # noqa: F401
    except ImportError as missing:
        return ThopFigures(None, None, f"thop cannot be imported: {missing}")
    if isinstance(inputs, Mapping):
        return ThopFigures(None, None, "thop calls models by position only")
    try:
        figures, note = with_a_copy(model, input_shape, inputs=inputs, action=_profile)
    except InputRefused as refused:
        return ThopFigures(None, None, f"thop failed: {(refused.hints or (refused.message,))[0]}")
    macs, params, layers = figures
    return ThopFigures(macs, params, layers=layers, notes=() if note is None else (f"thop: {note}",))


def _profile(call: Call) -> tuple[int, int, dict[str, ThopLayer]]:
    from thop import profile
    from thop.profile import register_hooks

    with _silence():
        macs, params, tree = profile(call.model, inputs=call.args, verbose=False, ret_layer_info=True)
    # An object of exactly these classes is counted whole; thop descends into everything else.
    whole = {kind for kind in register_hooks if not issubclass(kind, nn.Sequential)}
    layers = dict(_layers(call.model, tree, whole=whole, path=""))
    if type(call.model) in whole:
        layers[""] = ThopLayer(type(call.model).__name__, int(macs), int(params))
    return int(macs), int(params), layers


def _layers(
    module: nn.Module, tree: Mapping[str, Any], *, whole: set[type[nn.Module]], path: str
) -> Iterator[tuple[str, ThopLayer]]:
    for name, (macs, params, below) in tree.items():
        child, inner = module.get_submodule(name), f"{path}.{name}" if path else name
        if type(child) in whole:
            yield inner, ThopLayer(type(child).__name__, int(macs), int(params))
        else:
            yield from _layers(child, below, whole=whole, path=inner)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    # Without a handler on the root logger, logging.warning would install one that stays.
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger().removeHandler(handler)
