"""How long networks take, how many inputs they do a second, and how much memory: side by side in one run."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from prunecli.latency.backends import BACKENDS, ONNX
from prunecli.latency.measuring import threads_set
from prunecli.latency.memory import can_keep_memory, memory_kept
from prunecli.latency.saving import machine_facts
from prunecli.latency.timing import Ratio, Timing, ratio_of, time_side_by_side
from prunecli.progress import Progress, silent
from prunecli.reports.latency import latency_bars
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.workflows.bench_memory import peak_memory
from prunecli.workflows.bench_subjects import (
    BenchSubject,
    Setting,
    check_backends,
    exported,
    open_subject,
    standard_input_kept,
)
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opening
from prunecli.workflows.saving import destination

WARM_UP = 3
BUSY = 1.25  # p90 over p10 from which on the machine is called busy
UNSURE = 0.03  # of a ratio
MUCH_FOR_THE_SYSTEM = 0.1  # of the processor time


@dataclass(frozen=True)
class Figures:
    """One network in one setting; `peak_memory` in bytes, None where it was not or cannot be measured."""

    subject: BenchSubject
    timing: Timing
    batch: int
    peak_memory: int | None

    def document(self) -> dict[str, Any]:
        """The JSON of one model."""
        timing = self.timing
        return {
            "path": self.subject.path,
            "macs": self.subject.macs,
            "params": self.subject.params,
            "latency_ms": {
                "median": 1e3 * timing.median,
                "p10": 1e3 * timing.p10,
                "p90": 1e3 * timing.p90,
            },
            "images_per_second": self.batch / timing.median,
            "peak_memory_bytes": self.peak_memory,
        }


@dataclass(frozen=True)
class BenchRun:
    """All networks in one setting; `system_share` of the processor time was the system's, not theirs."""

    setting: Setting
    figures: tuple[Figures, ...]
    system_share: float

    def document(self) -> dict[str, Any]:
        """The JSON of one setting: each later network against the first."""
        first, *others = self.figures
        return {
            "backend": self.setting.backend,
            "threads": self.setting.threads,
            "batch": self.setting.batch,
            "rounds": len(first.timing.seconds),
            "models": [each.document() for each in self.figures],
            "ratios": [_ratio(first, other) for other in others],
        }


def _ratio(first: Figures, other: Figures) -> dict[str, Any]:
    """The speed-up of a later network over the first: measured, and theoretical by MACs."""
    measured: Ratio = ratio_of(first.timing, other.timing)
    known = first.subject.macs and other.subject.macs
    macs = first.subject.macs / other.subject.macs if known else None  # type: ignore[operator]
    return {
        "a": first.subject.path,
        "b": other.subject.path,
        "latency": measured.value,
        "interval": [measured.low, measured.high],
        "macs": macs,
        "latency_of_macs": None if macs is None else measured.value / macs,
    }


@dataclass(frozen=True)
class BenchResult(ShownInNotebooks, command="bench"):
    """Every setting that was measured, in the order asked for."""

    device: str
    dtype: str | None
    memory_kept: bool
    runs: tuple[BenchRun, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """How checkpoints were opened, and what makes figures doubtful."""
        opened = (note for each in self.runs[0].figures for note in each.subject.notes)
        return (*dict.fromkeys(opened), *self._doubts())

    def _doubts(self) -> Iterator[str]:
        timings = [[each.timing for each in run.figures] for run in self.runs]
        spread = max(each.p90 / each.p10 for found in timings for each in found)
        if spread > BUSY:
            yield (
                f"the machine does other work: the slowest tenth takes up to {spread:.1f} times as long as "
                "the quickest; ratios, measured in the same rounds, say more than latencies"
            )
        unsure = max((ratio_of(found[0], each).width for found in timings for each in found[1:]), default=0)
        if unsure > UNSURE:
            yield f"ratios are known within ±{unsure:.0%} at worst; --seconds gives them longer"
        share = max(run.system_share for run in self.runs)
        if share > MUCH_FOR_THE_SYSTEM and not self.memory_kept and can_keep_memory():
            yield (
                f"up to {share:.0%} of the processor time is the system's, mostly to hand out memory anew "
                "for each call; --keep-memory measures without"
            )

    def document(self) -> dict[str, Any]:
        """The JSON of `bench`: the first setting's figures on top, those of all settings in `runs`."""
        runs = [run.document() for run in self.runs]
        first = runs[0]
        setting = self.runs[0].setting
        return {
            "device": self.device,
            **{name: first[name] for name in ("backend", "threads", "batch", "models", "ratios")},
            "dtype": self.dtype,
            "memory_kept": self.memory_kept,
            "machine": machine_facts(device=self.device, threads=setting.threads, batch=setting.batch),
            "runs": runs,
        }


def bench(
    openings: Sequence[Opening],
    *,
    backends: Sequence[str] = ("eager",),
    threads: Sequence[int] = (),
    batch_sizes: Sequence[int] = (1,),
    dtype: str | None = None,
    seconds: float = 10.0,
    rounds: int | None = None,
    memory: bool = True,
    keep_memory: bool = False,
    keep: Keepsakes | None = None,
    progress: Progress = silent,
) -> BenchResult:
    """Time the networks of all `openings` in every setting, interleaved round by round within each.

    A setting lasts until the ratios are known within ±1 % or `seconds` are over, or for `rounds` rounds. No
    `threads`: as many as torch takes. `memory` also measures each network's peak in a process of its own.
    `keep_memory` lets the C library keep freed memory, `keep` names a picture and a report. Raises WrongUse
    for a backend that this machine cannot have, WorkFailed for a network that does not run.
    """
    device, kept = openings[0].device, keep or Keepsakes()
    for name in backends:
        BACKENDS[name].require(device)
    settings = [
        Setting(*each) for each in product(backends, threads or (torch.get_num_threads(),), batch_sizes)
    ]
    measuring = _Measuring(
        seconds=seconds, rounds=rounds, memory=memory, keep_memory=keep_memory, progress=progress
    )
    inputs = [each.checkpoint for each in openings]
    with destination(openings[0], *kept.paths, force=kept.force, inputs=inputs):
        runs = measuring.runs(openings, settings, dtype=dtype)
        result = BenchResult(device, dtype, keep_memory and can_keep_memory(), runs)
        kept.write("bench", result.document(), plot=latency_bars)
    return result


@dataclass(frozen=True, kw_only=True)
class _Measuring:
    """How long and what is measured; `rounds` and `seconds` as `bench` takes them."""

    seconds: float
    rounds: int | None
    memory: bool
    keep_memory: bool
    progress: Progress

    def runs(
        self, openings: Sequence[Opening], settings: Sequence[Setting], *, dtype: str | None
    ) -> tuple[BenchRun, ...]:
        """All networks in every setting."""
        with standard_input_kept(list(openings)) as kept:
            subjects = [
                open_subject(each, dtype=dtype, path=given.checkpoint)
                for each, given in zip(kept, openings, strict=True)
            ]
            check_backends(subjects, tuple(dict.fromkeys(setting.backend for setting in settings)))
            found = []
            with exported(subjects, wanted=any(each.backend == ONNX for each in settings)) as files:
                for number, setting in enumerate(settings):
                    self.progress(f"measuring {setting}", number, len(settings), {})
                    found.append(self._run(subjects, files, setting))
        return tuple(found)

    def _run(
        self, subjects: Sequence[BenchSubject], files: Sequence[Path | None], setting: Setting
    ) -> BenchRun:
        """One setting: first the times, then each network's memory."""
        with threads_set(setting.threads), memory_kept() if self.keep_memory else nullcontext():
            timings, share = _timed(subjects, files, setting, seconds=self.seconds, rounds=self.rounds)
        figures = [
            Figures(subject, timing, setting.batch, self._peak(subject, file, setting))
            for subject, file, timing in zip(subjects, files, timings, strict=True)
        ]
        return BenchRun(setting, tuple(figures), share)

    def _peak(self, subject: BenchSubject, file: Path | None, setting: Setting) -> int | None:
        if not self.memory:
            return None
        onnx = _file(subject, file, setting)
        return peak_memory(subject, setting, onnx=onnx, keep_memory=self.keep_memory)


def _timed(
    subjects: Sequence[BenchSubject],
    files: Sequence[Path | None],
    setting: Setting,
    *,
    seconds: float,
    rounds: int | None,
) -> tuple[tuple[Timing, ...], float]:
    """Timings of all subjects, and the share of the processor time meanwhile that was the system's."""
    with torch.inference_mode():
        runs = [
            each.runner(setting, _file(each, file, setting))
            for each, file in zip(subjects, files, strict=True)
        ]
        before = resource.getrusage(resource.RUSAGE_SELF)
        found = time_side_by_side(runs, rounds=rounds, seconds=seconds, warm_up=WARM_UP)
        after = resource.getrusage(resource.RUSAGE_SELF)
    system, user = after.ru_stime - before.ru_stime, after.ru_utime - before.ru_utime
    return found, system / max(system + user, 1e-9)


def _file(subject: BenchSubject, file: Path | None, setting: Setting) -> Path | None:
    """The ONNX file that a setting runs, None where it runs the network."""
    if subject.is_onnx:
        return Path(subject.path)
    return file if setting.backend == ONNX else None
