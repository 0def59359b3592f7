"""The most memory that running a network takes, found in a process of its own: `python -m` of this module.

Counted are the bytes of weights and buffers, and how much more the process holds at its peak, while the
network runs, than before the backend had seen it: activations, what the backend keeps, copies of weights.
Libraries are loaded before, by a tiny network. On CUDA it is what torch had allocated on the device at most.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunecli.graph.inputs import Calling, Input
from prunecli.latency.backends import BACKENDS
from prunecli.latency.measuring import threads_set
from prunecli.latency.memory import give_back, memory_kept
from prunecli.latency.resident import forget_the_peak, peak_bytes, resident_bytes
from prunecli.workflows.bench_subjects import BenchSubject, Setting, open_subject
from prunecli.workflows.opening import Opening

CALLS = 2


def peak_memory(
    subject: BenchSubject, setting: Setting, *, onnx: Path | None, keep_memory: bool
) -> int | None:
    """The bytes of one network in one setting; None where the system does not say, or the run broke down."""
    order = {
        "opening": asdict(subject.opening),
        "setting": asdict(setting),
        "dtype": subject.dtype,
        "onnx": None if onnx is None else str(onnx),
        "keep_memory": keep_memory,
    }
    ran = subprocess.run(
        [sys.executable, "-m", "prunecli.workflows.bench_memory"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    lines = ran.stdout.splitlines()
    if ran.returncode or not lines:
        return None
    found = json.loads(lines[-1])
    return None if found is None else int(found)


def measured_here(order: dict[str, Any]) -> int | None:
    """The bytes, measured in this process, which has run nothing yet."""
    setting = Setting(**order["setting"])
    opening = Opening(**{name: _as_given(value) for name, value in order["opening"].items()})
    onnx = None if order["onnx"] is None else Path(order["onnx"])
    with (
        torch.inference_mode(),
        threads_set(setting.threads),
        memory_kept() if order["keep_memory"] else nullcontext(),
    ):
        if opening.device.startswith("cuda"):
            return _peak_on_cuda(opening, setting, order["dtype"], onnx)
        _run_tiny(setting)
        subject = _subject(opening, order["dtype"], onnx)
        before = _resting()
        run = subject.runner(setting, onnx)
        run()
        _resting()
        if before is None or not forget_the_peak():
            return None
        for _ in range(CALLS):
            run()
        peak = peak_bytes()
    return None if peak is None else max(0, peak - before) + subject.weight_bytes


def _peak_on_cuda(opening: Opening, setting: Setting, dtype: str | None, onnx: Path | None) -> int | None:
    run = _subject(opening, dtype, onnx).runner(setting, onnx)
    if onnx is not None:
        return None  # onnxruntime does not ask torch for its memory
    run()
    torch.cuda.reset_peak_memory_stats(opening.device)
    run()
    return int(torch.cuda.max_memory_allocated(opening.device))


def _subject(opening: Opening, dtype: str | None, onnx: Path | None) -> BenchSubject:
    """The network; where an ONNX file of it is run, without the network."""
    if onnx is not None:
        return BenchSubject(path=str(onnx), opening=opening, dtype=dtype)
    return open_subject(opening, dtype=dtype)


def _run_tiny(setting: Setting) -> None:
    """Load what a backend loads on first use."""
    prepare = BACKENDS[setting.backend].prepare
    if prepare is None:
        __import__(setting.backend)
        return
    tiny = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    prepare(tiny.eval(), Calling((Input((3, 8, 8)),)), [torch.ones(2, 3, 8, 8)])()


def _resting() -> int | None:
    gc.collect()
    give_back()
    return resident_bytes()


def _as_given(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def main() -> None:
    """Read what is to be measured from standard input, write the bytes to standard output."""
    found = measured_here(json.load(sys.stdin))
    sys.stdout.write(f"\n{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
