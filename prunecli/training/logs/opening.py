"""From `--log` to logs: what a specification means, and telling all of them at once."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from prunecli.checkpoints import shown
from prunecli.errors import InputRefused, PrunecliError, WorkFailed, WrongUse, nearest
from prunecli.progress import Progress, remark, silent
from prunecli.training.logs.json_lines import JsonLines
from prunecli.training.logs.mlflow import MlflowRun
from prunecli.training.logs.records import TrainingLog
from prunecli.training.logs.tensorboard import TensorBoard

if TYPE_CHECKING:
    from prunecli.training.settings import EpochRecord

KINDS = {"jsonl": "jsonl:FILE", "tensorboard": "tensorboard[:FOLDER]", "mlflow": "mlflow[:URI]"}
"""Kinds of logs, by how each is asked for."""

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Logs:
    """Several logs as one; none is a log that says nothing.

    A log that fails at its start ends the work, one that fails later is given up, which is told by
    `progress` and in `notes`, and the training goes on. `run` is the name of the training in logs that hold
    many, to be given to `open_logs` again when it is resumed.
    """

    def __init__(
        self, members: Mapping[str, TrainingLog] | None = None, *, run: str = "", progress: Progress = silent
    ) -> None:
        self.run = run
        self.notes: tuple[str, ...] = ()
        self._members = dict(members or {})
        self._progress = progress

    def start(self, facts: Mapping[str, Any]) -> None:
        """Open every log; raises WorkFailed for one that cannot be."""
        for spec, member in self._members.items():
            with _failure_in_words(spec):
                member.start(facts)

    def step(self, figures: Mapping[str, float]) -> None:
        """Tell every log of a step: `epoch` and `step` from 1, lr, loss, images_per_second."""
        self._tell(lambda member: member.step(figures))

    def epoch(self, record: EpochRecord) -> None:
        """Tell every log of a finished epoch."""
        self._tell(lambda member: member.epoch(record))

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Tell every log how it ended."""
        self._tell(lambda member: member.finish(facts))

    def close(self) -> None:
        """Close every log; safe to call twice."""
        self._tell(lambda member: member.close())
        self._members.clear()

    def __enter__(self) -> Logs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, what: Callable[[TrainingLog], None]) -> None:
        for spec, member in list(self._members.items()):
            try:
                what(member)
            except Exception as error:  # noqa: PERF203 - a lost log must not cost the training
                del self._members[spec]
                with suppress(Exception):
                    member.close()
                line = f"the log {spec} was given up: {_reason(error)}"
                self.notes += (line,)
                remark(self._progress, [line])


def open_logs(
    specs: Sequence[str],
    *,
    resumed: bool = False,
    run: str | None = None,
    force: bool = False,
    inputs: Sequence[str | Path] = (),
    progress: Progress = silent,
) -> Logs:
    """The logs that `specs` name; nothing is made before `start`.

    A specification is `jsonl:FILE` or a FILE.jsonl, `tensorboard[:FOLDER]`, or `mlflow[:URI or FOLDER]`.
    `resumed` goes on with the logs of an earlier part of the training whose `Logs.run` is given as `run`.
    `force` allows a file to be replaced; `inputs` are files that never are.

    Raises WrongUse for an unknown kind, the same place twice, a place that cannot be and a file that exists,
    WorkFailed where a package is missing, InputRefused for a `run` that is no name.
    """
    name = run or f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    if not _RUN.fullmatch(name):
        raise InputRefused(f"{shown(name)} cannot be the name of a training in logs")
    makers: dict[str, Callable[[str], TrainingLog]] = {
        "jsonl": lambda place: JsonLines(place, resumed=resumed, force=force, inputs=inputs),
        "tensorboard": lambda place: TensorBoard(place, run=name, resumed=resumed),
        "mlflow": lambda place: MlflowRun(place, run=name, resumed=resumed),
    }
    members: dict[str, TrainingLog] = {}
    places = set()
    for spec in specs:
        kind, place = _parsed(spec)
        where = (kind, str(Path(place).resolve()) if place else "")
        if where in places:
            raise WrongUse(f"the log {_shown(spec)} was asked for twice")
        places.add(where)
        members[_shown(spec)] = makers[kind](place)
    return Logs(members, run=name, progress=progress)


def log_files(specs: Sequence[str]) -> tuple[str, ...]:
    """The files of JSON lines among `specs`; raises WrongUse for an unknown kind."""
    return tuple(place for kind, place in map(_parsed, specs) if kind == "jsonl")


@contextmanager
def _failure_in_words(spec: str) -> Iterator[None]:
    """Whatever a foreign package raises, as one line."""
    try:
        yield
    except PrunecliError:
        raise
    except Exception as error:
        raise WorkFailed(f"the log {spec} cannot be opened: {_reason(error)}") from error


def _parsed(spec: str) -> tuple[str, str]:
    """Kind and place, the latter empty for the kind's own choice."""
    kind, _, place = spec.partition(":")
    if kind in KINDS:
        return kind, place
    if spec.endswith(".jsonl"):
        return "jsonl", spec
    near = nearest(kind, KINDS)
    hints = [f"did you mean {near!r}?"] if near else []
    raise WrongUse(
        f"unknown log {_shown(spec)!r}", hints=[*hints, f"valid: FILE.jsonl, {', '.join(KINDS.values())}"]
    )


def _shown(spec: str) -> str:
    """As it was given, without a name and password in an address."""
    return shown(re.sub(r"//[^/@]*@", "//", spec))


def _reason(error: Exception) -> str:
    """One line of what a package or the system says."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _shown(" ".join(str(error).split()) or type(error).__name__)
