"""A folder of the transformers library, where its configuration can say the widths that pruning left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.errors import InputRefused, WorkFailed
from prunecli.exporters.comparison import accepted, compared, tensors_of
from prunecli.exporters.contract import ExportCheck, ExportTask, exporter
from prunecli.exporters.separate_process import ABSENT, run_elsewhere
from prunecli.exporters.silence import silence
from prunecli.exporters.transformers_scales import take_up_scales
from prunecli.exporters.transformers_widths import NoConfiguration, fitting_configurations, widths_of
from prunecli.exporters.wording import reason

if TYPE_CHECKING:
    from torch import Tensor, nn

PACKAGE = "transformers"
FILES = ("model.safetensors", "config.json", "generation_config.json")
OPENING = """
import transformers
network = transformers.{name}.from_pretrained(path).eval()
network.config.use_cache = False
def run(batch):
    found = network(**dict(zip({inputs!r}, batch)))
    return [found[name] for name in found if name.startswith("logits")] or found
"""


@exporter(
    "transformers",
    packages=(PACKAGE, "safetensors"),
    extra="transformers",
    source="Wolf et al. 2020, arXiv:1910.03771; huggingface.co/docs/transformers",
    suffix=".transformers",
    options=("dtype",),
    beside=FILES,
    folder=True,
)
def export_transformers(model: nn.Module, path: Path, task: ExportTask) -> ExportCheck:
    """A folder that from_pretrained opens, where one configuration has the widths of all layers."""
    kind = _class_of(model)
    try:
        with silence():
            made = _opened_alike(kind, model, task)
            made.save_pretrained(path, max_shard_size="1TB")
    except NoConfiguration as failure:
        raise WorkFailed(
            f"{PACKAGE} cannot express this network: {failure}",
            hints=[
                "prune all layers alike: --scope local with one ratio",
                "or --to pt2, which has any widths",
            ],
        ) from failure
    except (RuntimeError, TypeError, ValueError) as failure:
        raise WorkFailed(f"{PACKAGE} could not write the model", hints=[reason(failure)]) from failure
    opening = OPENING.format(name=kind.__name__, inputs=task.names)
    absent = tuple(set(ABSENT) - {PACKAGE, "safetensors"})
    outputs = run_elsewhere(opening, path, [batch.inputs for batch in task.batches], absent=absent)
    check = compared(task, outputs, runtime=f"{PACKAGE} {_version()} in a process of its own")
    return accepted(
        replace(check, notes=(f"opens with {kind.__name__}.from_pretrained", *check.notes)), "the folder"
    )


def _opened_alike(kind: Any, model: nn.Module, task: ExportTask) -> Any:
    """A network of `kind` that a configuration makes and that computes the same; raises NoConfiguration."""
    network: Any = model
    for configuration in fitting_configurations(kind, network.config, widths_of(model)):
        made = kind(configuration).to(next(model.parameters()).dtype).eval()
        made.load_state_dict(model.state_dict())
        take_up_scales(made, model)
        if compared(replace(task, batches=task.batches[:1]), [_run(made, task)], runtime=PACKAGE).equivalent:
            return made
    raise NoConfiguration(
        "one of these sizes, made from a configuration, computes something else "
        "(rotary positions, for one, have the frequencies of another width)"
    )


def _run(network: Any, task: ExportTask) -> list[Tensor]:
    """Its outputs for the first batch, as the other process takes them."""
    import torch

    with torch.no_grad():
        found = network(**dict(zip(task.names, task.batches[0].inputs, strict=True)))
    return tensors_of([found[name] for name in found if name.startswith("logits")] or found)


def _class_of(model: nn.Module) -> Any:
    """The class of transformers that the network is of; raises InputRefused for any other."""
    import transformers

    for kind in type(model).__mro__:
        if kind.__module__.startswith(f"{PACKAGE}.models.") and hasattr(transformers, kind.__name__):
            return kind
    raise InputRefused(
        f"{type(model).__name__} is no model of {PACKAGE}",
        hints=["for any other network: --to pt2 or python"],
    )


def _version() -> str:
    from importlib.metadata import version

    return version(PACKAGE)
