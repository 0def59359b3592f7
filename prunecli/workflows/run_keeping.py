"""Where a training run keeps its state and its logs, and what a run must be to go on from a state."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from prunecli.checkpoints import check_output, hold_output
from prunecli.data import Split
from prunecli.errors import InputRefused, WrongUse
from prunecli.interruption import finishing_steps
from prunecli.processes import current
from prunecli.progress import Progress, remark
from prunecli.strategies.diary import FILE as NOTES
from prunecli.strategies.diary import Diary, read_standing
from prunecli.training.logs import Logs, open_logs
from prunecli.training.resuming import Keeper, differences, open_run, read_run, surroundings
from prunecli.training.settings import FitSettings
from prunecli.workflows.data import Images
from prunecli.workflows.opening import Opened

SUFFIX = ".run"
_IMAGES_LOOKED_AT = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """A run's keeper (None: it keeps nothing), its logs, and remarks on how it goes on."""

    keeper: Keeper | None
    logs: Logs
    notes: tuple[str, ...]

    @property
    def steps_done(self) -> int:
        """Steps of the optimiser that the run goes on after, 0 for one that begins."""
        return 0 if self.keeper is None or self.keeper.resumed is None else self.keeper.resumed.steps_done

    def finish(self, facts: Mapping[str, Any]) -> None:
        """The run came to its end: its state is of no more use."""
        self.logs.finish(facts)
        if self.keeper is not None and current().main:
            self.keeper.clear()


@dataclass(frozen=True, kw_only=True)
class Keeping:
    """What was asked for: a `folder` for the state (None: keep nothing), how often, and logs."""

    folder: str | None
    every: int | None
    resume: bool
    logs: tuple[str, ...]

    @classmethod
    def of(
        cls,
        folder: str | None,
        *,
        resume: str | None,
        output: str | None,
        every: int | None,
        logs: Sequence[str],
    ) -> Keeping:
        """The folder as it was named, else beside the output; raises WrongUse for wishes that cannot be."""
        if folder is not None and resume is not None and os.path.realpath(folder) != os.path.realpath(resume):
            raise WrongUse(
                f"the run goes on in {resume!r} and cannot keep its state in {folder!r}",
                hints=["leave --checkpoint-dir out: --resume says where"],
            )
        place = resume or folder or (f"{output}{SUFFIX}" if output not in {None, "-"} else None)
        if every is not None and place is None:
            raise WrongUse(
                "there is no place for the state of the run",
                hints=["give one: --checkpoint-dir FOLDER, or an output with -o"],
            )
        return cls(folder=place, every=every, resume=resume is not None, logs=tuple(logs))

    @contextmanager
    def open(
        self, origin: Mapping[str, Any], *, inputs: Sequence[str], force: bool, progress: Progress
    ) -> Iterator[Kept]:
        """Hold the folder while the work lasts; an empty one is not left behind. `inputs` must stay.

        Raises InputRefused for a folder without a state, WrongUse for one of another run and for one that
        holds the state of an interrupted run which this run would replace.
        """
        plain = json.loads(json.dumps(origin))
        with ExitStack() as held:
            keeper, name = None, None
            notes: tuple[str, ...] = ()
            if self.folder is not None:
                keeper = Keeper(folder=self.folder, every=self.every, origin=plain)
                held.enter_context(_folder_held(keeper, resume=self.resume, force=force))
                if self.resume:
                    state, notes = open_run(self.folder, plain)
                    keeper, name = replace(keeper, resumed=state), state.run or None
                    notes = (_where(state.epoch, state.step), *notes)
                    remark(progress, notes)
            specs = self.logs if current().main else ()
            logs = held.enter_context(
                open_logs(specs, resumed=self.resume, run=name, force=force, inputs=inputs, progress=progress)
            )
            yield Kept(keeper=keeper, logs=logs, notes=notes)

    @contextmanager
    def open_diary(
        self, origin: Callable[[], Mapping[str, Any]], *, trains: bool, force: bool, progress: Progress
    ) -> Iterator[Diary]:
        """The same for a strategy, which trains several times; one that does not train keeps nothing.

        Until the end of the work a signal is noted, and obeyed by the training that is going on.
        """
        if self.folder is None or not trains:
            if self.resume:
                raise WrongUse("a strategy that does not train has nothing to go on with")
            yield Diary()
            return
        plain = json.loads(json.dumps(origin()))
        keeper = Keeper(folder=self.folder, every=self.every, origin=plain)
        with _folder_held(keeper, resume=self.resume, force=force, also=NOTES), finishing_steps():
            if not self.resume:
                yield Diary(keeper=keeper)
                return
            noted, run = read_standing(self.folder), read_run(self.folder)
            kept = noted[1] if noted is not None else run[1] if run is not None else None
            if kept is None:
                raise InputRefused(f"there is no interrupted run in {self.folder!r}")
            remark(progress, differences({k: v for k, v in kept.items() if k != "bite"}, plain, self.folder))
            yield Diary(keeper=keeper, standing=None if noted is None else noted[0], resuming=True)


def run_origin(
    opened: Opened, images: Images, settings: FitSettings, *, teacher: Opened | None, recalibrate: int
) -> dict[str, Any]:
    """What a run is of, as JSON values: another network, other images or settings make another run."""
    choices = {**asdict(settings), **surroundings(settings.device, current().count)}
    return {
        **choices,
        "checkpoint": opened.checkpoint.sha256,
        "data": images.data.name,
        "images": f"{_fingerprint(images.data.train)} {_fingerprint(images.data.validation)}",
        "recalibrate": recalibrate,
        "teacher": None if teacher is None else teacher.checkpoint.sha256,
    }


def _where(epoch: int, step: int) -> str:
    return f"going on in epoch {epoch + 1}, after step {step}" if step else f"going on with epoch {epoch + 1}"


def _fingerprint(split: Split) -> str:
    """A number for the labels and some of the images: enough to notice another set or another split."""
    digest = hashlib.sha256(repr(split.image_shape).encode())
    digest.update(split.labels.contiguous().numpy().tobytes())
    looked = torch.arange(0, len(split), max(1, len(split) // _IMAGES_LOOKED_AT))
    digest.update(split.pixels(looked).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@contextmanager
def _folder_held(keeper: Keeper, *, resume: bool, force: bool, also: str | None = None) -> Iterator[None]:
    """The folder is there and no other run uses it; `also` names a file beside the state that is kept."""
    if not current().main:
        yield
        return
    folder = keeper.path.parent
    states = [keeper.path, *([folder / also] if also else [])]
    if any(path.exists() for path in states) and not resume and not force:
        raise WrongUse(
            f"{os.fspath(folder)} holds the state of an interrupted run",
            hints=["to go on with it: --resume " + os.fspath(folder), "to begin anew: --force"],
        )
    if not resume:
        for path in states:  # of a run that is begun anew by --force
            path.unlink(missing_ok=True)
    check_output(folder.with_name(f"{folder.name}.lock"), force=True)
    folder.mkdir(exist_ok=True)
    try:
        with hold_output(keeper.path):
            yield
    finally:
        with suppress(OSError):  # a state is in it
            Path(folder).rmdir()
