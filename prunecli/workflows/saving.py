"""Write a network with its document: a path, or standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

from torch import nn

from prunecli.checkpoints import check_output, hold_output, refuse_twice, write_checkpoint
from prunecli.checkpoints.safetensors_form import Outline
from prunecli.checkpoints.streamed_saving import outlined_bytes
from prunecli.graph.meta import meta_copy
from prunecli.processes import is_main
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Plan
from prunecli.version import __version__
from prunecli.workflows.opening import Opened, Opening


@contextmanager
def destination(
    opening: Opening, *outputs: str | None, force: bool, inputs: Iterable[str | None] = ()
) -> Iterator[None]:
    """Keep outputs for this run; one that cannot be is refused before any work. Only the main process writes.

    `inputs` are files that are read beside the checkpoint, and stay. Raises WrongUse as `check_output` does
    and for a file that is to hold two results, WorkFailed when another run writes the same file.
    """
    given = [path for path in (opening.checkpoint, *inputs) if path is not None and path != "-"]
    refuse_twice(outputs)
    with ExitStack() as held:
        for output in outputs:
            if output is not None and output != "-" and is_main():
                check_output(output, inputs=given, force=force)
                held.enter_context(hold_output(output))
        yield


def save(
    opened: Opened,
    model: nn.Module,
    *,
    plan: Plan | None,
    step: Mapping[str, Any],
    output: str | None,
    force: bool,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> dict[str, Any] | None:
    """Write `model` with its architecture, plan and history plus `step`; None without an output."""
    if output is None or not is_main():
        return None
    document = saved_document(opened, plan=plan, step=step, mean=mean, std=std)
    target = sys.stdout.buffer if output == "-" else output
    written = write_checkpoint(target, model.cpu().state_dict(), document, force=force)
    return {**asdict(written), "path": output}


def file_bytes(opened: Opened, *, plan: Plan, step: Mapping[str, Any]) -> int:
    """The bytes of the file that `save` would write after a further plan; nothing but shapes is cut."""
    cut = carry_out(plan, meta_copy(opened.model))
    outlines = {name: Outline(t.dtype, tuple(t.shape)) for name, t in cut.state_dict().items()}
    return outlined_bytes(outlines, saved_document(opened, plan=whole_plan(opened, plan), step=step))


def whole_plan(opened: Opened, later: Plan) -> Plan:
    """All that was ever cut, in the coordinates of the architecture."""
    return later if opened.plan is None else opened.plan.then(later)


def saved_document(
    opened: Opened,
    *,
    plan: Plan | None,
    step: Mapping[str, Any],
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> dict[str, Any]:
    """What a file says of its network: architecture, plan, normalisation, and the history plus `step`."""
    mean, std = mean or opened.mean, std or opened.std
    return {
        "architecture": opened.architecture.document(),
        "input_shape": list(opened.architecture.input_shape),
        "plan": None if plan is None else plan.document(),
        "normalisation": None if mean is None or std is None else {"mean": list(mean), "std": list(std)},
        "history": [*opened.history, {**step, "version": __version__}],
    }
