"""A plan in a file of its own: saved by one pruning, carried out by another."""

from __future__ import annotations

from pathlib import Path

from prunecli.checkpoints import read_checkpoint, write_whole
from prunecli.errors import InputRefused
from prunecli.processes import is_main
from prunecli.surgery.plan import Plan


def read_plan(path: str) -> Plan:
    """The plan that was saved in `path`, as JSON or by a pruned checkpoint; raises InputRefused for none.

    A checkpoint's plan says what has left the architecture, in all prunings together.
    """
    if _is_checkpoint(path):
        document = read_checkpoint(path).document or {}
        if document.get("plan") is None:
            raise InputRefused(f"{path!r} was not pruned, so it has no plan")
        return Plan.from_document(document["plan"])
    try:
        return Plan.from_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputRefused(f"the plan {path!r} cannot be read: {reason}") from None


def _is_checkpoint(path: str) -> bool:
    """Whether the file begins as no JSON text does: with the length of a safetensors header."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(9)
    except OSError:
        return False  # what is wrong is said where it is read as JSON
    return len(head) > 8 and head[8:] == b"{" and not head.lstrip().startswith(b"{")


def write_plan(plan: Plan, output: str | None, *, force: bool) -> None:
    """Write the plan as JSON, where a file was named; one process of several does."""
    if output is None or not is_main():
        return
    text = plan.to_json()

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    write_whole(output, write, force=force)
