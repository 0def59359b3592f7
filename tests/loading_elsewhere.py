"""Another process that opens written files with `prunecli.load` and says what their networks compute.

`Elsewhere` is the near end; `python loading_elsewhere.py` is the far end, which reads one JSON line a file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def flat(output: Any) -> Iterator[Tensor]:
    """The tensors of an output of any kind, in order."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        yield from (tensor for inner in output.values() for tensor in flat(inner))
    elif isinstance(output, (tuple, list)):
        yield from (tensor for inner in output for tensor in flat(inner))


class Elsewhere:
    """A process of its own, which has never seen the network that was pruned."""

    def __init__(self) -> None:
        tests = str(Path(__file__).parent)
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": tests, "OMP_NUM_THREADS": "1"},
        )

    def outputs(self, path: Path, *, model: str | None, inputs: Path) -> list[Tensor]:
        """What the network in `path` gives for the (args, kwargs) that torch saved in `inputs`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        target = path.with_suffix(".outputs")
        asked = {"path": str(path), "model": model, "inputs": str(inputs), "target": str(target)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        said = self._process.stdout.readline().strip()
        assert said == "done", said
        found: list[Tensor] = torch.load(target)
        return found

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _serve() -> None:
    import prunecli

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        said = "done"
        try:
            args, kwargs = torch.load(asked["inputs"])
            model = prunecli.load(asked["path"], model=asked["model"])
            with torch.no_grad():
                torch.save(list(flat(model(*args, **kwargs))), asked["target"])
        except Exception as error:
            said = f"{type(error).__name__}: {error}".replace("\n", " ")
        answers.write(f"{said}\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
