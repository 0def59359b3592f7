"""Whether a network is held in memory or read from the disk tensor by tensor, and what speaks against it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from prunecli.checkpoints.mapped import stored_bytes
from prunecli.criteria.contract import Needs
from prunecli.errors import WrongUse
from prunecli.processes import launched
from prunecli.scoring.filter_scores import needs_of
from prunecli.workflows.opening import Opening

# Memory that pruning takes otherwise, over the size of the file: 6.8 was measured for bfloat16, of which the
# proof in float64 takes most.
TIMES_HELD = 7
# Below it nobody needs to ask how much memory there is.
ALWAYS_HELD_BYTES = 256 << 20
READABLE = Needs.SEED | Needs.WEIGHT | Needs.BATCH_NORM | Needs.COST
"""What can be known of one layer at a time, without data."""

_CGROUP = Path("/sys/fs/cgroup")


def is_streamed(opening: Opening, wanted: bool | None, obstacles: Sequence[str]) -> bool:
    """Whether the checkpoint is read tensor by tensor.

    `wanted` is what the user says, None where the memory decides; `obstacles` are what the work asks for
    that takes the network whole. Raises WrongUse when streaming is wanted and cannot be, InputRefused when
    the file cannot be read.
    """
    if wanted is False or (wanted is None and (obstacles or not _is_path(opening))):
        return False
    found = [*_obstacles_of(opening), *obstacles]
    size = stored_bytes(str(opening.checkpoint)) if _is_path(opening) else None
    if size is None and _is_path(opening):
        found.append("a checkpoint that is not safetensors")
    if wanted:
        if found:
            raise WrongUse(
                f"--stream reads the network tensor by tensor, which {found[0]} does not allow",
                hints=["leave --stream out"],
            )
        return True
    free = available_bytes()
    too_large = size is not None and size >= ALWAYS_HELD_BYTES and free is not None
    return too_large and not found and size * TIMES_HELD > free  # type: ignore[operator]


def obstacles_of_criteria(criteria: Sequence[str]) -> Iterator[str]:
    """The criteria that look at more than one layer's weights."""
    for name in criteria:
        if needs_of([name]) & ~READABLE:
            yield f"the criterion {name}"


def available_bytes() -> int | None:
    """How much memory this process may still take, None where the system does not say."""
    found = [*_of_system(), *_of_cgroup()]
    return min(found) if found else None


def _is_path(opening: Opening) -> bool:
    return opening.checkpoint not in {None, "-"}


def _obstacles_of(opening: Opening) -> Iterator[str]:
    if opening.checkpoint == "-":
        yield "standard input"
    if opening.checkpoint is None:
        yield "the bundled sample"
    if launched()[1] > 1:
        yield "a launcher of several processes"


def _of_system() -> Iterator[int]:
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(each for each in lines if each.startswith("MemAvailable:"))
        yield int(line.split()[1]) << 10
        return
    with suppress(OSError, ValueError, AttributeError):
        yield os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_cgroup() -> Iterator[int]:
    """What a container may still take; pages of files that it could give back count as free."""
    with suppress(OSError, ValueError):
        limit = int((_CGROUP / "memory.max").read_text(encoding="ascii"))  # "max" is no number: no limit
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        rows = (line.split() for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        of_files = next((int(row[1]) for row in rows if row[0] == "inactive_file"), 0)
        yield max(0, limit - used + of_files)
