"""Why thop's figures differ from ours, layer by layer, from the model itself.

thop adds normalisation, pooling, softmax and upsampling, which multiply-accumulate nothing by our
definition, and sees only modules of exactly the classes that it has a rule for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from prunecli.cost.flops import FlopCount
from prunecli.cost.thop_figures import ThopFigures
from prunecli.cost.trial import Call, Inputs, with_a_copy

NAMES_SHOWN = 3
LAYER_FAMILIES = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase)

MacsByOperator = dict[str, int]
OwnMacs = Mapping[str, MacsByOperator]
"""Module path → operator → MACs run in that module and in none below it."""


@dataclass(frozen=True)
class Difference:
    """One reason in words, and what it adds to thop's figures over ours (negative: takes away)."""

    sentence: str
    macs: int = 0
    params: int = 0


@dataclass(frozen=True)
class _Row:
    """One layer or module: its class, what thop counts there and what is run there."""

    kind: str
    thop: int
    own: MacsByOperator
    is_layer: bool = False

    @property
    def macs(self) -> int:
        return sum(self.own.values())


def differences(
    model: nn.Module, input_shape: Sequence[int], *, thop: ThopFigures, inputs: Inputs | None = None
) -> tuple[Difference, ...]:
    """The reasons why `thop` differs from `measure` on the same model and input.

    Their `macs` add up to thop's MACs minus ours, their `params` to thop's parameters minus ours.
    Empty when the two agree or when thop has no figures. Raises InputRefused when the forward fails.
    """
    if thop.macs is None or thop.params is None:
        return ()
    own, _ = with_a_copy(model, input_shape, inputs=inputs, action=_own_macs)
    path_of = {id(module): path for path, module in model.named_modules()}
    counted: Counter[str] = Counter()
    kinds: dict[str, str] = {}
    for path, layer in thop.layers.items():
        # A module registered under two names is one module here and two layers to thop.
        first = path_of[id(model.get_submodule(path))]
        counted[first] += layer.macs
        kinds[first] = layer.kind
    known = [_Row(kind, counted[path], _below(own, path)) for path, kind in kinds.items()]
    unknown = [
        _unknown_row(model.get_submodule(path), macs)
        for path, macs in own.items()
        if not any(_is_within(path, layer) for layer in kinds)
    ]
    return (*_added(known), *_counted_otherwise(known), *_missed(unknown), *_parameters(model, thop))


def _own_macs(call: Call) -> dict[str, MacsByOperator]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    stack = [""]
    last: Counter[str] = Counter()

    def settle() -> None:
        """Whatever ran since the last time ran in the module on top of the stack."""
        nonlocal last
        now = Counter({name: flops // 2 for name, flops in counter.by_operation.items()})
        counts[stack[-1]] += now - last
        last = now

    def enter(path: str) -> Callable[..., None]:
        def hook(*_: object) -> None:
            settle()
            stack.append(path)

        return hook

    def leave(*_: object) -> None:
        settle()
        stack.pop()

    for path, module in call.model.named_modules():
        module.register_forward_pre_hook(enter(path))
        module.register_forward_hook(leave)
    with FlopCount() as counter:
        call()
        settle()
    return {path: dict(macs) for path, macs in counts.items() if macs}


def _is_within(path: str, layer: str) -> bool:
    return not layer or path == layer or path.startswith(f"{layer}.")


def _below(own: OwnMacs, layer: str) -> MacsByOperator:
    total: Counter[str] = Counter()
    for path, macs in own.items():
        if _is_within(path, layer):
            total.update(macs)
    return dict(total)


def _unknown_row(module: nn.Module, own: MacsByOperator) -> _Row:
    return _Row(type(module).__name__, 0, own, is_layer=isinstance(module, LAYER_FAMILIES))


def _added(rows: Iterable[_Row]) -> list[Difference]:
    groups = _by_kind(row for row in rows if row.thop and not row.macs)
    return [
        Difference(f"thop adds {total:,} MACs for {_many(group)}, which are no matrix products", macs=total)
        for group in groups
        if (total := sum(row.thop for row in group))
    ]


def _counted_otherwise(rows: Iterable[_Row]) -> list[Difference]:
    found = []
    for group in _by_kind(row for row in rows if row.macs and row.thop != row.macs):
        said, run = sum(row.thop for row in group), sum(row.macs for row in group)
        sentence = f"thop counts {said:,} MACs for {_many(group)} where {run:,} are run"
        found.append(Difference(sentence, macs=said - run))
    return found


def _missed(rows: Iterable[_Row]) -> list[Difference]:
    found = []
    for group in _by_kind(rows):
        total = sum(row.macs for row in group)
        operators = sorted({operator for row in group for operator in row.own})
        attention = any(
            "attention" in name.lower() or "attn" in name.lower() for name in (group[0].kind, *operators)
        )
        reason = "attention" if attention else "functional call"
        why = "it has no rule for that class" if group[0].is_layer else f"it sees no {reason}"
        sentence = f"thop misses {total:,} MACs of {' and '.join(operators)} in {_many(group)}: {why}"
        found.append(Difference(sentence, macs=-total))
    return found


def _parameters(model: nn.Module, thop: ThopFigures) -> list[Difference]:
    seen = {
        id(parameter)
        for path, layer in thop.layers.items()
        if layer.params
        for parameter in model.get_submodule(path).parameters()
    }
    unseen = {name: p.numel() for name, p in model.named_parameters() if id(p) not in seen}
    left_out = sum(unseen.values())
    found = []
    if left_out:
        names = ", ".join([*unseen][:NAMES_SHOWN])
        more = f" and {len(unseen) - NAMES_SHOWN} more" if len(unseen) > NAMES_SHOWN else ""
        sentence = (
            f"thop leaves out {left_out:,} parameters ({names}{more}): "
            "it counts only the layers that it has a rule for and that run"
        )
        found.append(Difference(sentence, params=-left_out))
    total = sum(parameter.numel() for parameter in model.parameters())
    repeated = (thop.params or 0) - (total - left_out)
    if repeated:
        sentence = f"thop counts {repeated:,} parameters again where a layer or a weight is shared"
        found.append(Difference(sentence, params=repeated))
    return found


def _by_kind(rows: Iterable[_Row]) -> list[list[_Row]]:
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.kind, []).append(row)
    return list(groups.values())


def _many(group: Sequence[_Row]) -> str:
    return f"{len(group)} × {group[0].kind}"
