"""Another Python process that has torch and nothing of ours: where a file opens alone is told there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prunecli.errors import WorkFailed

if TYPE_CHECKING:
    from torch import Tensor

# Not importable there, installed or not: what opens the file must be torch alone.
ABSENT = ("prunecli", "torchvision", "timm", "transformers", "safetensors", "onnx", "torch_pruning")
LAST_LINES = 1

# {opening} makes `run(inputs)`; batches and outputs go through files that hold tensors only.
PROGRAM = """
import sys
for name in {absent!r}:
    sys.modules[name] = None
import warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads({threads})
path, given, wanted = sys.argv[1:]
{opening}
def tensors(tree):
    if isinstance(tree, torch.Tensor):
        return [tree]
    parts = tree.values() if hasattr(tree, "values") else tree if isinstance(tree, (list, tuple)) else ()
    return [leaf for part in parts for leaf in tensors(part)]
with torch.no_grad():
    outputs = [tensors(run(batch)) for batch in torch.load(given, weights_only=True)]
torch.save(outputs, wanted)
"""


def run_elsewhere(
    opening: str, path: Path, batches: Sequence[Sequence[Tensor]], *, absent: Sequence[str] = ABSENT
) -> list[list[Tensor]]:
    """What the file at `path` gives for each batch in a new process that has nothing of what is `absent`.

    `opening` are lines that define `run(batch)`; `path` is a string there. Raises WorkFailed with the last
    line that the process wrote when it fails.
    """
    import subprocess
    import tempfile

    import torch

    program = PROGRAM.format(absent=tuple(absent), threads=torch.get_num_threads(), opening=opening)
    with tempfile.TemporaryDirectory() as folder:
        given, wanted = Path(folder) / "inputs", Path(folder) / "outputs"
        torch.save([list(batch) for batch in batches], given)
        # -I: neither the working folder nor anything of the user's is on the path. -B: nothing is left there.
        command = [sys.executable, "-I", "-B", "-c", program, str(path), str(given), str(wanted)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            lines = ended.stderr.strip().splitlines()[-LAST_LINES:]
            raise WorkFailed(
                "what was written does not open in another process",
                hints=[*lines, f"the process that opened it ended with {ended.returncode}"],
            )
        found: list[list[Tensor]] = torch.load(wanted, weights_only=True)
    return found


def runtime() -> str:
    """What such a process runs a file in, with its version."""
    import torch

    return f"torch {torch.__version__} in a process of its own"
