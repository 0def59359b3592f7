"""Where a training run stands, in a file from which it goes on bit for bit as if it had never stopped.

One safetensors file, written whole or not at all: weights, what the optimiser keeps, the average, the best
state, the losses of the epoch so far, and in its metadata the position and what the run was asked for. No
state of a random generator is needed: everything random about a step is drawn from (seed, epoch, step).
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prunecli.checkpoints import read_checkpoint, write_checkpoint
from prunecli.errors import InputRefused, WorkFailed, WrongUse
from prunecli.training.settings import EpochRecord

FILE = "state.safetensors"
SCHEMA = "prunecli.run/1"
# May be another when a run goes on, and is told: the bits may then differ.
TOLD = ("lr", "threads", "torch", "device", "machine")


@dataclass(kw_only=True, eq=False)
class RunState:
    """A run after `step` steps of the optimiser in `epoch` (both from 0).

    `tensors` by "PART/NAME"; `history` the epochs that are done, `best` the index of the best of them,
    `waited` the epochs since the validation accuracy last rose, `figures` other numbers, `run` its name in
    logs.
    """

    epoch: int
    step: int
    tensors: dict[str, Tensor]
    history: tuple[EpochRecord, ...] = ()
    best: int | None = None
    waited: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    run: str = ""
    steps_done: int = 0
    """Steps of the optimiser since the run began."""
    hooks: dict[str, Any] = field(default_factory=dict)
    """What a strategy keeps beside the weights, in JSON values."""

    @property
    def finite(self) -> bool:
        """Whether every number is one: a run cannot go on from NaN."""
        return all(bool(torch.isfinite(each).all()) for each in self.tensors.values())

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, by their names in it."""
        prefix = f"{name}/"
        return {
            path.removeprefix(prefix): value
            for path, value in self.tensors.items()
            if path.startswith(prefix)
        }


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """Keeps the state of a run in `folder`: every `every` steps (None: only when it is stopped).

    `origin` says in JSON values what the run is of; a state of another origin is refused. `resumed` is the
    state that the run goes on from.
    """

    folder: str
    every: int | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    resumed: RunState | None = None

    @property
    def path(self) -> Path:
        """The file of the state."""
        return Path(self.folder) / FILE

    def save(self, state: RunState) -> None:
        """Write the state in place of the one before; raises WorkFailed when the disk is full, say."""
        try:
            self.path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise WorkFailed(f"the folder {self.folder!r} cannot be made: {error.strerror}") from error
        document = {
            "run": SCHEMA,
            "origin": dict(self.origin),
            "epoch": state.epoch,
            "step": state.step,
            "history_of_run": [asdict(record) for record in state.history],
            "best": state.best,
            "waited": state.waited,
            "figures": state.figures,
            "name": state.run,
            "steps_done": state.steps_done,
            "hooks": state.hooks,
        }
        write_checkpoint(self.path, state.tensors, document, force=True)

    def clear(self) -> None:
        """Remove the state of a run that is finished, and the folder if nothing else is in it."""
        self.path.unlink(missing_ok=True)
        try:
            self.path.parent.rmdir()
        except OSError:  # somebody keeps other things there, or it was never made
            return


def open_run(folder: str, origin: Mapping[str, Any]) -> tuple[RunState, tuple[str, ...]]:
    """The state kept in `folder`, and remarks on what is not as it was.

    Raises InputRefused when there is none, WrongUse when it is of another run.
    """
    found = read_run(folder)
    if found is None:
        raise InputRefused(
            f"there is no interrupted run in {folder!r}", hints=[f"a run keeps its state as {FILE} there"]
        )
    state, kept = found
    return state, differences(kept, origin, folder)


def read_run(folder: str) -> tuple[RunState, Mapping[str, Any]] | None:
    """The state kept in `folder` and what its run is of; None without, InputRefused for a broken one."""
    path = Path(folder) / FILE
    if not path.exists():
        return None
    checkpoint = read_checkpoint(path)
    document = checkpoint.document or {}
    if document.get("run") != SCHEMA:
        raise InputRefused(f"{str(path)!r} is not the state of a run that this version can go on with")
    try:
        state = RunState(
            epoch=int(document["epoch"]),
            step=int(document["step"]),
            tensors=checkpoint.tensors,
            history=tuple(EpochRecord(**record) for record in document["history_of_run"]),
            best=document["best"],
            waited=int(document["waited"]),
            figures=dict(document["figures"]),
            run=str(document["name"]),
            steps_done=int(document["steps_done"]),
            hooks=dict(document.get("hooks", {})),  # not in older files
        )
        return state, dict(document["origin"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputRefused(f"{str(path)!r} is not a complete state of a run") from error


def surroundings(device: str, processes: int) -> dict[str, Any]:
    """What the bits of a run depend on beside its settings."""
    return {
        "processes": processes,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "device": device,
        "machine": platform.machine(),
    }


def differences(kept: Mapping[str, Any], origin: Mapping[str, Any], folder: str) -> tuple[str, ...]:
    """Remarks on what may be another than in the run that was `kept`; WrongUse for what may not."""
    remarks = []
    for name in dict.fromkeys((*origin, *kept)):
        before, now = kept.get(name), origin.get(name)
        if before == now:
            continue
        if name not in TOLD:
            raise WrongUse(
                f"the run in {folder!r} was begun with {name} {before}, not {now}",
                hints=["go on with the same options, or begin anew without --resume"],
            )
        remarks.append(f"not bit for bit the same run: {name} {before} → {now}")
    return tuple(remarks)
