"""A plan in a file of its own: saved by one pruning, carried out by another."""

from __future__ import annotations

from pathlib import Path

from prunecli.checkpoints import write_whole
from prunecli.errors import InputRefused
from prunecli.processes import is_main
from prunecli.surgery.plan import Plan


def read_plan(path: str) -> Plan:
    """The plan that was saved in `path`; raises InputRefused when it is none."""
    try:
        return Plan.from_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputRefused(f"the plan {path!r} cannot be read: {reason}") from None


def write_plan(plan: Plan, output: str | None, *, force: bool) -> None:
    """Write the plan as JSON, where a file was named; one process of several does."""
    if output is None or not is_main():
        return
    text = plan.to_json()

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    write_whole(output, write, force=force)
