"""The whole file for a network, by the first way of following its forward pass that has Python for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prunecli.errors import WorkFailed
from prunecli.exporters.contract import ExportTask
from prunecli.exporters.python_source.forward import Forward
from prunecli.exporters.python_source.page import page
from prunecli.exporters.python_source.parts import Tree, constant_lines
from prunecli.exporters.python_source.tracing import Traced, of_operators, with_modules
from prunecli.exporters.silence import silence
from prunecli.exporters.wording import reason

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Source:
    """A file's text, the tensors that it reads, and whether it trains or why not."""

    text: str
    tensors: dict[str, Tensor]
    trains: bool
    notes: tuple[str, ...]


def source_of(model: nn.Module, task: ExportTask, *, module: str, weights: str) -> Source:
    """The file called `module`.py, whose weights lie in a file called `weights`.

    Raises WorkFailed where neither way of following the forward pass gives one.
    """
    failures: list[str] = []
    routes: tuple[Callable[..., Traced], ...] = (with_modules, of_operators)
    for route in routes:
        try:
            with silence():
                traced = route(model, task.example)
            if task.folded:
                traced = replace(traced, trains=False, reason="its batch norms were folded")
            return _written(model, traced, task, module=module, weights=weights, failures=failures)
        except Exception as failure:  # noqa: PERF203 - both tracers raise whatever the network makes them raise
            failures.append(reason(failure))
    raise WorkFailed("no Python could be made of this model", hints=failures)


def _written(
    model: nn.Module, traced: Traced, task: ExportTask, *, module: str, weights: str, failures: list[str]
) -> Source:
    forward = Forward(traced, model)
    tree = Tree(model, called=forward.called)
    kinds = [str(tensor.dtype).removeprefix("torch.") for tensor in task.example]
    text = page(
        title=f"{type(model).__name__}: its parts under their names, and what they compute.",
        module=module if module.isidentifier() else "model",
        weights=weights,
        inputs="; ".join(
            f"{each} (batch, {', '.join(map(str, tensor.shape[1:]))}) {kind}"
            for each, tensor, kind in zip(forward.arguments, task.example, kinds, strict=True)
        ),
        arguments=forward.arguments,
        init=[*tree.lines, *constant_lines(traced.constants)],
        forward=forward.lines,
        trains=traced.trains,
    )
    compile(text, f"{module}.py", "exec")
    return Source(text, _tensors(model, traced), traced.trains, _notes(traced, failures))


def _notes(traced: Traced, failures: list[str]) -> tuple[str, ...]:
    followed = () if traced.by_modules else (f"followed by torch.export ({failures[-1]})",)
    trains = "computes the same in training mode" if traced.trains else f"for inference only: {traced.reason}"
    return (*followed, trains)


def _tensors(model: nn.Module, traced: Traced) -> dict[str, Tensor]:
    """The state dict, and what no state dict holds but the forward pass reads."""
    return {**dict(model.named_buffers(remove_duplicate=False)), **model.state_dict(), **traced.constants}
