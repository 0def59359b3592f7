"""The table of `coverage.py`: counts, failures by cause, then every row."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any


def state_of(row: dict[str, Any]) -> str:
    """What became of one model, in words."""
    if "failure" in row:
        return "refused or failed"
    if not row["equivalent"]:
        return "not equivalent"
    if not row.get("reloads", True):
        return "other outputs in a new process"
    return "pruned" if row["pruned"] else "pruned in part"


def print_table(path: Path) -> None:
    """Print the results as Markdown."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    states = Counter(map(state_of, rows))
    for state, count in states.most_common():
        print(f"- {state}: {count} of {len(rows)}")
    with_peer = [row for row in rows if "peer" in row]
    if with_peer:
        good = sum(row["peer"].get("params_cut", 0) >= 0.4 for row in with_peer)
        what = "Torch-Pruning 1.6.1 prunes (40 % of the parameters gone, the result runs)"
        print(f"- {what}: {good} of {len(with_peer)}")
    causes = Counter(_cause(row) for row in rows if state_of(row) != "pruned")
    if causes:
        print("\nWhat stands in the way:\n")
        for cause, count in causes.most_common():
            print(f"- {cause}: {count}")
    print(
        "\n| architecture | state | channels in prunable groups | parameters cut | relative error | seconds |"
        " peer | remarks |\n|---|---|---:|---:|---:|---:|---|---|"
    )
    for row in sorted(rows, key=lambda row: str(row["name"])):
        print(_line(row))


def _line(row: dict[str, Any]) -> str:
    def share(name: str) -> str:
        return f"{row[name]:.0%}" if name in row else ""

    error = f"{row['error']:.0e}" if row.get("error") is not None else ""
    seconds = f"{sum(row['seconds'].values()):.1f}" if "seconds" in row else ""
    peer = row.get("peer", {})
    there = f"{peer['params_cut']:.0%}" if "params_cut" in peer else peer.get("failure", "")[:40]
    remark = row.get("failure") or next(iter(row.get("protected", {}).values()), "")
    cells = [
        row["name"],
        state_of(row),
        share("channels_share"),
        share("params_cut"),
        error,
        seconds,
        there,
        remark[:110],
    ]
    return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _cause(row: dict[str, Any]) -> str:
    """The first reason without its numbers and names, so that equal causes are counted together."""
    text = row.get("failure") or next(iter(row.get("protected", {}).values()), "")
    if not text:
        text = "too few channels could go"
    return re.sub(r"'[^']*'|\S*\.\S+|[\d.]+", "…", text)[:100]
