"""Open a checkpoint as a network: read it, know its architecture, load its weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from prunecli.architectures import Architecture, build, build_described, from_factory, identify, resolve
from prunecli.architectures.construction import LeaveUninitialised
from prunecli.checkpoints import Checkpoint, default_sample, read_checkpoint
from prunecli.errors import InputRefused, nearest
from prunecli.graph.meta import meta_copy
from prunecli.progress import Progress, remark, silent
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Plan

SHOWN_DIFFERENCES = 5


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What is said of the input: a path, "-" for standard input, None for the bundled sample."""

    checkpoint: str | None = None
    arch: str | None = None
    model: str | None = None
    input_shape: tuple[int, ...] | None = None
    trust_pickle: str | None = None
    ema: bool = False
    allow_nonfinite: bool = False
    device: str = "cpu"
    threads: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def take_threads(self) -> None:
        """From now on compute with as many threads as were asked for."""
        if self.threads is not None:
            torch.set_num_threads(self.threads)


@dataclass(frozen=True, kw_only=True, eq=False)
class Opened:
    """A checkpoint as a network in inference mode, with all that is known about it.

    `plan` turned the architecture into this network, None for one that was never pruned. `mean` and `std`
    are the normalisation that its images need, None when neither the file nor the user says.
    """

    checkpoint: Checkpoint
    architecture: Architecture
    confidence: float
    model: nn.Module
    plan: Plan | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    history: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]

    @property
    def dtype(self) -> str:
        """The type of the weights: "float32"."""
        first = next((p for p in self.model.parameters() if p.is_floating_point()), None)
        return "none" if first is None else str(first.dtype).removeprefix("torch.")

    def summary(self) -> dict[str, Any]:
        """Path, sha256 and architecture, as documents name a checkpoint."""
        return {
            "path": self.checkpoint.path,
            "sha256": self.checkpoint.sha256,
            "architecture": self.architecture.name,
        }


def load(path: str, *, model: str | None = None) -> nn.Module:
    """The network in a checkpoint, pruned or not, in inference mode, ready for inference and training.

    `model` is "file.py:factory" for a checkpoint of one's own architecture. Raises InputRefused when the file
    cannot be opened safely or fits no architecture.
    """
    return open_checkpoint(Opening(checkpoint=path, model=model)).model


def open_checkpoint(opening: Opening, *, progress: Progress = silent) -> Opened:
    """Read, identify, build, load, and remark what was decided. Raises InputRefused for what does not fit."""
    opening.take_threads()
    checkpoint, notes = _read(opening)
    return network_of(opening, checkpoint, notes=notes, progress=progress)


def network_of(
    opening: Opening,
    checkpoint: Checkpoint,
    *,
    shapes_only: bool = False,
    notes: tuple[str, ...] = (),
    progress: Progress = silent,
) -> Opened:
    """The network of a checkpoint that was read; with `shapes_only` on the meta device, without weights."""
    document: Mapping[str, Any] = checkpoint.document or {}
    if "scores" in document:
        raise InputRefused(
            f"{checkpoint.path!r} holds saved scores, not a network",
            hints=["give it beside a checkpoint: prunecli compare model.safetensors --scores FILE"],
        )
    if "run" in document:
        raise InputRefused(
            f"{checkpoint.path!r} holds the state of an interrupted run, not a network",
            hints=["go on with it: the command that was stopped, with --resume and the folder it is in"],
        )
    plan: Plan | None = None
    if document.get("plan") is not None:
        plan = Plan.from_document(document["plan"])
    make = _empty_network if shapes_only else _network
    architecture, confidence, model, found = make(opening, checkpoint, document, plan)
    if plan is not None and checkpoint.module is None:
        carry_out(plan, model)
    if checkpoint.module is None:
        _check_fit(model, checkpoint.tensors, architecture)
        _set_dtype(model, checkpoint.tensors)
    if checkpoint.module is None and not shapes_only:
        _load_weights(model, checkpoint.tensors)
    mean, std = _normalisation(opening, document, architecture)
    notes = (*notes, *checkpoint.notes, *found)
    remark(progress, notes)
    return Opened(
        checkpoint=checkpoint,
        architecture=architecture,
        confidence=confidence,
        model=model.eval(),
        plan=plan,
        mean=mean,
        std=std,
        history=tuple(document.get("history") or ()),
        notes=notes,
    )


def open_earlier(opening: Opening, path: str, opened: Opened, *, progress: Progress = silent) -> nn.Module:
    """An earlier state of the network that is open; raises InputRefused where `path` holds another one."""
    found = open_checkpoint(replace(opening, checkpoint=path), progress=progress)
    shapes = [
        {name: tensor.shape for name, tensor in each.model.state_dict().items()} for each in (found, opened)
    ]
    if shapes[0] != shapes[1]:
        raise InputRefused(f"{path!r} is not an earlier state of the network that is pruned")
    return found.model


def _read(opening: Opening) -> tuple[Checkpoint, tuple[str, ...]]:
    if opening.checkpoint is None:
        sample = default_sample()
        note = f"no checkpoint was given: taking the bundled sample {sample.name}"
        return read_checkpoint(sample, ema=opening.ema), (note,)
    source = sys.stdin.buffer if opening.checkpoint == "-" else opening.checkpoint
    checkpoint = read_checkpoint(
        source,
        ema=opening.ema,
        trust_pickle=opening.trust_pickle,
        allow_nonfinite=opening.allow_nonfinite,
    )
    return checkpoint, ()


def _network(
    opening: Opening, checkpoint: Checkpoint, document: Mapping[str, Any], plan: Plan | None
) -> tuple[Architecture, float, nn.Module, tuple[str, ...]]:
    """The architecture, how sure it is, an untrained network of it, and notes."""
    shape = opening.input_shape
    stored = document.get("architecture")
    if opening.model is not None:
        wanted = shape or (Architecture.from_document(stored).input_shape if stored else (3, 224, 224))
        module, architecture = from_factory(opening.model, input_shape=wanted)
        return architecture, 1.0, module, ()
    if checkpoint.module is not None:
        return _of_a_module(checkpoint.module, shape)
    if stored is not None:
        architecture = _own_shape(Architecture.from_document(stored), shape)
        _check_stored(architecture, opening)
        return architecture, 1.0, build_described(architecture, _whole_shapes(checkpoint, plan)), ()
    if opening.arch is not None:
        architecture = _resolved(opening.arch, checkpoint, shape)
        return architecture, 1.0, build(architecture, initialise=False), ()
    found = identify(checkpoint.shapes, input_shape=shape)
    arguments = ", ".join(f"{name}={value}" for name, value in found.architecture.arguments.items())
    note = f"recognised as {found.architecture.name}" + (f" with {arguments}" if arguments else "")
    network = build(found.architecture, initialise=False)
    return found.architecture, found.confidence, network, (note, *found.notes)


def _whole_shapes(checkpoint: Checkpoint, plan: Plan | None) -> list[list[int]]:
    """The shapes that the tensors had before the plan was carried out: what is here, and what it names."""
    shapes = {name: list(shape) for name, shape in checkpoint.shapes.items()}
    for cut in plan.cuts if plan else ():
        shape = shapes.get(cut.tensor, [])
        if cut.axis < len(shape):
            shape[cut.axis] += len(cut.removed)
    return list(shapes.values())


def _empty_network(
    opening: Opening, checkpoint: Checkpoint, document: Mapping[str, Any], plan: Plan | None
) -> tuple[Architecture, float, nn.Module, tuple[str, ...]]:
    """The same on the meta device; where a constructor reads values, built on the CPU and emptied."""
    try:
        with torch.device("meta"), LeaveUninitialised():
            return _network(opening, checkpoint, document, plan)
    except (RuntimeError, NotImplementedError):
        architecture, confidence, model, notes = _network(opening, checkpoint, document, plan)
        return architecture, confidence, meta_copy(model), notes


def _of_a_module(
    module: nn.Module, shape: tuple[int, ...] | None
) -> tuple[Architecture, float, nn.Module, tuple[str, ...]]:
    """A whole pickled network: a known architecture if its tensors are one's, else itself."""
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    try:
        found = identify(shapes, input_shape=shape)
    except InputRefused:
        name = type(module).__name__
        note = f"what is written from it opens only with --model file.py:factory, a factory of this {name}"
        return Architecture(f"module/{name}", {}, shape or (3, 224, 224)), 1.0, module, (note,)
    return found.architecture, found.confidence, module, found.notes


def _check_stored(architecture: Architecture, opening: Opening) -> None:
    """Refuse an `--arch` that says otherwise than the file, and code that only its author has."""
    if opening.arch is not None and resolve(opening.arch).name != architecture.name:
        raise InputRefused(
            f"the checkpoint says that it is {architecture.name}, not {opening.arch}",
            hints=["leave --arch out: a file that prunecli wrote knows its architecture"],
        )
    if architecture.source in {"file", "module"}:
        spec = architecture.short_name if architecture.source == "file" else "file.py:factory"
        raise InputRefused(
            f"the checkpoint's architecture is its author's own: {architecture.short_name}",
            hints=[f"give what builds it: --model {spec}"],
        )


def _resolved(name: str, checkpoint: Checkpoint, shape: tuple[int, ...] | None) -> Architecture:
    """The architecture called `name`, with the arguments that the tensors show when they are its own."""
    try:
        found = identify(checkpoint.shapes, input_shape=shape)
    except InputRefused:
        return resolve(name, input_shape=shape)
    if found.architecture.name == name:
        return found.architecture
    classes = found.architecture.arguments.get("num_classes")
    return resolve(name, arguments={} if classes is None else {"num_classes": classes}, input_shape=shape)


def _own_shape(architecture: Architecture, shape: tuple[int, ...] | None) -> Architecture:
    return architecture if shape is None else Architecture(architecture.name, architecture.arguments, shape)


def _check_fit(model: nn.Module, tensors: Mapping[str, Tensor], architecture: Architecture) -> None:
    """Refuse tensors that are not those of `model`.

    Only the counters of batch norm may be missing, and further names of a tensor that is there.
    """
    own = model.state_dict(keep_vars=True)
    there = {id(tensor) for name, tensor in own.items() if name in tensors}
    missing = [
        name
        for name, tensor in own.items()
        if name not in tensors and id(tensor) not in there and not name.endswith("num_batches_tracked")
    ]
    extra = [name for name in tensors if name not in own]
    shapes = [
        f"{name} is {_shape(tensor)}, not {_shape(own[name])}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    if missing or extra or shapes:
        shown = [*(f"missing {name}" for name in missing), *(f"extra {name}" for name in extra), *shapes]
        near = nearest(missing[0], extra) if missing and extra else None
        raise InputRefused(
            f"the checkpoint does not fit {architecture.name}: {len(missing)} tensors missing, "
            f"{len(extra)} extra, {len(shapes)} of another shape",
            hints=[
                "first: " + ", ".join(shown[:SHOWN_DIFFERENCES]),
                *([f"perhaps {missing[0]!r} is called {near!r}"] if near else []),
            ],
        )


def _load_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put `tensors`, which fit, into `model`."""
    with torch.no_grad():
        # The network's own dictionary carries the versions by which some modules read old files.
        state = model.state_dict()
        state.update(tensors)
        model.load_state_dict(state)


def _set_dtype(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Keep the type that the file has: half-precision weights stay so."""
    dtypes = {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}
    if len(dtypes) == 1:
        model.to(dtypes.pop())


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a number"


def _normalisation(
    opening: Opening, document: Mapping[str, Any], architecture: Architecture
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    stored = document.get("normalisation") or {}
    mean = opening.mean or _numbers(stored.get("mean"))
    std = opening.std or _numbers(stored.get("std"))
    if (mean is None) != (std is None):
        raise InputRefused("a normalisation has a mean and a deviation", hints=["give both --mean and --std"])
    channels = architecture.input_shape[0]
    for values in (mean, std):
        if values is not None and len(values) not in {1, channels}:
            raise InputRefused(f"{len(values)} values of normalisation for {channels} channels")
    return _spread(mean, channels), _spread(std, channels)


def _spread(values: tuple[float, ...] | None, channels: int) -> tuple[float, ...] | None:
    return values * channels if values is not None and len(values) == 1 else values


def _numbers(values: Any) -> tuple[float, ...] | None:
    return tuple(float(value) for value in values) if values else None
