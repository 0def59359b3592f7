"""What one cut leaves of a network's accuracy, by scope and normalization, at the same MACs.

    python benchmarks/allocation.py model.pth --data images --mean … --std …

Every way of sharing out the same target is cut in one shot by l2; batch norms are measured again, nothing is
trained. The sensitivity is measured first, and not counted in the seconds. Kept in benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from prunecli.cli.values import numbers
from prunecli.errors import WrongUse
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.opening import Opening, open_checkpoint
from prunecli.workflows.prune import prune
from prunecli.workflows.sensitivity import sensitivity

RESULTS = Path(__file__).parent / "results"
WAYS: dict[str, dict[str, Any]] = {
    "local": {},
    "global, mean": {"scope": "global"},
    "global, per-MAC": {"scope": "global", "normalization": "per-MAC"},
    "isomorphic": {"scope": "isomorphic"},
    "local, inner": {"residual": "inner"},
    "exact, inner": {"scope": "exact", "residual": "inner"},
    "global, sensitivity": {"scope": "global", "sensitivity": ""},
    "latency": {"scope": "latency"},
    "latency, in eights": {"scope": "latency", "round_to": 8},
}


def measured(opening: Opening, *, data: str, targets: list[str], curves: str) -> list[dict[str, Any]]:
    """A row for each way and target."""
    opened = open_checkpoint(opening)
    rows = []
    for way, wishes in WAYS.items():
        asked = {**wishes, "sensitivity": curves} if "sensitivity" in wishes else wishes
        for target in targets:
            try:
                found = prune(opening, opened=opened, target=target, data=data, evaluate=True, **asked)
            except WrongUse as refused:
                rows.append({"way": way, "target": target, "refused": refused.message})
                continue
            document = found.document()
            rows.append(
                {
                    "way": way,
                    "target": target,
                    "met": document["target"]["met"],
                    "macs": document["after"]["macs"] / document["before"]["macs"],
                    "params": document["after"]["params"] / document["before"]["params"],
                    "before": document["accuracy"]["before"],
                    "accuracy": document["accuracy"]["after"],
                    "seconds": document["seconds"]["aim"],
                }
            )
            print(rows[-1], flush=True)
    return rows


def table(document: dict[str, Any]) -> str:
    """The rows as Markdown, a column a target."""
    rows, targets = document["rows"], document["targets"]
    before = next(row["before"] for row in rows if "before" in row)
    lines = [
        f"# One cut by l2 at the same MACs, shared out in {len(WAYS)} ways",
        "",
        f"{document['checkpoint']}, {before:.2f} % on {document['images']} before. Accuracy in % after batch "
        "norms were measured again on 10 batches; nothing was trained. In brackets the parameters that stay. "
        "Every target was met within 1 % from below unless it says otherwise.",
        "",
        "Made by `python benchmarks/allocation.py`.",
        "",
        f"| how | {' | '.join(targets)} | seconds for the choice |",
        f"|---|{'---:|' * len(targets)}---:|",
    ]
    for way in WAYS:
        own = {row["target"]: row for row in rows if row["way"] == way}
        seconds = max((row.get("seconds", 0.0) for row in own.values()), default=0.0)
        lines.append(f"| {way} | {' | '.join(_cell(own[target]) for target in targets)} | {seconds:.2f} |")
    return "\n".join([*lines, ""])


def _cell(row: dict[str, Any]) -> str:
    if "refused" in row:
        return "refused"
    said = "" if row["met"] else f", not met: {row['macs']:.3f}"
    return f"{row['accuracy']:.2f} ({row['params']:.2f}{said})"


def main() -> None:
    """Measure, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--data", required=True)
    parser.add_argument("--mean")
    parser.add_argument("--std")
    parser.add_argument("--targets", nargs="*", default=["macs=0.7", "macs=0.5", "macs=0.35"])
    parser.add_argument("--images", default="the test part", help="in words, for the table")
    parser.add_argument("--result", type=Path, default=RESULTS / "allocation_resnet20.json")
    given = parser.parse_args()
    mean, std = (numbers(text) if text else None for text in (given.mean, given.std))
    opening = Opening(checkpoint=given.checkpoint, mean=mean, std=std)
    with tempfile.TemporaryDirectory() as folder:
        curves = str(Path(folder) / "sensitivity.json")
        sensitivity(opening, calibration=Calibration(given.data, 16, 64, False), save=curves)
        rows = measured(opening, data=given.data, targets=given.targets, curves=curves)
    document = {
        "checkpoint": Path(given.checkpoint).name,
        "images": given.images,
        "targets": given.targets,
        "rows": rows,
    }
    given.result.write_text(json.dumps(document, indent=1) + "\n")
    given.result.with_suffix(".md").write_text(table(document))
    print(table(document))


if __name__ == "__main__":
    main()
