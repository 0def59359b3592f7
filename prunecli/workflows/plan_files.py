"""A plan in a file of its own: saved by one pruning, carried out by another."""

from __future__ import annotations

from prunecli.checkpoints import read_checkpoint, shown, write_data
from prunecli.checkpoints.json_files import read_json
from prunecli.checkpoints.source import first_bytes
from prunecli.errors import InputRefused
from prunecli.processes import is_main
from prunecli.surgery.plan import Plan


def read_plan(path: str) -> Plan:
    """The plan that was saved in `path`, as JSON or by a pruned checkpoint; raises InputRefused for none.

    A checkpoint's plan says what has left the architecture, in all prunings together.
    """
    if not _is_checkpoint(first_bytes(path, 9)):
        return Plan.from_document(read_json(path, what="the plan"))
    document = read_checkpoint(path).document or {}
    if document.get("plan") is None:
        raise InputRefused(f"{shown(path)} was not pruned, so it has no plan")
    return Plan.from_document(document["plan"])


def _is_checkpoint(head: bytes) -> bool:
    """Whether a file begins as no JSON text does: with the length of a safetensors header."""
    return head[8:] == b"{" and not head.lstrip().startswith(b"{")


def write_plan(plan: Plan, output: str | None, *, force: bool) -> None:
    """Write the plan as JSON, where a file was named; one process of several does."""
    if output is None or not is_main():
        return
    write_data(output, plan.to_json().encode("utf-8"), force=force)
