"""A process for every step of `coverage.py`: bounded in processor time, and its failure is a row.

Processes are forked from one that has imported torch and the zoos and done nothing else, which saves the
seconds of those imports for each.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Step = Callable[[str, str], dict[str, Any]]

PATIENCE = 5  # times the processor's seconds, on a machine that has other work
FOUND = "found.json"


def in_a_process(step: Step, name: str, *, seconds: int, then: Step | None = None) -> dict[str, Any]:
    """What `step(name, folder)` returns in a new process, and `then` in another with the same folder.

    The peak of the step's resident memory comes with it, `peak_mb`. A step that raises, or takes more than
    `seconds` of the processor, gives a `failure`.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = _result(step, name, folder, seconds)
        if then is not None and "failure" not in found:
            after = _result(then, name, folder, seconds)
            found = {**after, **found} if "failure" not in after else after
    return found


def _result(step: Step, name: str, folder: str, seconds: int) -> dict[str, Any]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["coverage_preload"])
    process = context.Process(target=_run, args=(step, name, folder, seconds))
    process.start()
    process.join(PATIENCE * seconds)
    if process.is_alive():
        process.kill()
        process.join()
        return {"failure": f"not done after {PATIENCE * seconds} s"}
    path = Path(folder) / FOUND
    if process.exitcode == 0 and path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        path.unlink()
        return found
    late = process.exitcode == -signal.SIGXCPU
    return {"failure": f"not done after {seconds} s" if late else f"ended with {process.exitcode}"}


def _run(step: Step, name: str, folder: str, seconds: int) -> None:
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    sys.stdout = sys.stderr = io.StringIO()
    try:
        found = step(name, folder)
        found["processor_seconds"] = round(time.process_time(), 2)
        found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        found = {"failure": f"{type(error).__name__}: {first}"[:300], "where": _where(error)}
    (Path(folder) / FOUND).write_text(json.dumps(found))


def _where(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
