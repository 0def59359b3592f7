"""The table of `coverage.py`: counts, failures by cause, then every row."""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

PEER, PEER_ENOUGH = "Torch-Pruning 1.6.1", 0.4


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
    zoo = path.stem.removeprefix("coverage_")
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "torchvision", "timm", "transformers")
    )
    print(f"# Coverage of {zoo}\n")
    command = f"`python benchmarks/coverage.py --zoo {zoo} --peer`"
    print(
        f"Half of every prunable group removed; {command}, {versions}, CPU, one thread. Seconds are those of"
    )
    print("the processor for trace, plan, cut and proof.\n")
    states = Counter(map(state_of, rows))
    for state, count in states.most_common():
        print(f"- {state}: {count} of {len(rows)}")
    earlier = sum("processor_seconds" not in row for row in rows if "failure" not in row)
    if earlier:
        print(f"- of an earlier run, in seconds of the clock: {earlier} of {len(rows)}")
    with_peer = [row["peer"] for row in rows if "peer" in row]
    if with_peer:
        good = sum(peer.get("params_cut", 0) >= PEER_ENOUGH for peer in with_peer)
        what = (
            f"{PEER} prunes (40 % of the parameters gone, the result runs; whether it is right was not asked)"
        )
        print(f"- {what}: {good} of {len(with_peer)}")
    _print_causes("What stands in the way", [_cause(row) for row in rows if state_of(row) != "pruned"])
    _print_causes(f"What stands in the way of {PEER}", [_peer_cause(peer) for peer in with_peer])
    print(
        "\n| architecture | state | channels in prunable groups | parameters cut | relative error | seconds |"
        " peer | remarks |\n|---|---|---:|---:|---:|---:|---|---|"
    )
    for row in sorted(rows, key=lambda row: str(row["name"])):
        print(_line(row))


def _print_causes(title: str, causes: list[str]) -> None:
    counts = Counter(cause for cause in causes if cause)
    if counts:
        print(f"\n{title}:\n")
        for cause, count in counts.most_common():
            print(f"- {cause}: {count}")


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
    """The first reason, so that equal causes are counted together."""
    text = row.get("failure") or next(iter(row.get("protected", {}).values()), "")
    return _without_names(text) if text else "too few channels could go"


def _peer_cause(peer: dict[str, Any]) -> str:
    """The same of the peer; nothing where it prunes."""
    if "failure" in peer:
        return _without_names(peer["failure"])
    return "" if peer["params_cut"] >= PEER_ENOUGH else "fewer than 40 % of the parameters go"


def _without_names(text: str) -> str:
    return re.sub(r"'[^']*'|\[[^\]]*\]|\S*\.\S+|[\d.]+", "…", text)[:100]
