"""The results of benchmarks/ice.py: one line a run, and what they come to as Markdown."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

Record = dict[str, Any]

# What makes a run the same run, and what makes runs alike but for their strategy or their seed.
SETTING = ("network", "ratio", "images", "recalibrate", "threads")
SAME = (*SETTING, "strategy", "seed", "drop", "final_epochs")

PAGE = """# ICE against training after every block

Written by

    python benchmarks/ice.py --cifar cifar10 --make-network
    python benchmarks/ice.py --cifar cifar10 --strategies every-step,ice --seeds 0,1,2

ResNet-110 for 8 × 8 pixels, trained for 6 epochs on all of CIFAR-10 made small; inner channels pruned at
{ratio:g} on {images:,} training images, a tenth of them for validation. {threads} thread, batch norms not
measured again. `ice` is tuned (drop, freeze share, rate) and ends with an epoch (`--final-epochs 1`); its
seconds are those of everything: tuning, trial of the freezing, judging, trainings, proofs. The test images
are read once the clock has stopped, and steer nothing. prunecli {prunecli}, torch {torch}, Python {python}.

{runs}

Seconds of a run by stage:

{stages}

Mean ± standard deviation over the seeds, each run of `ice` beside that of `every-step` with its seed:

{summary}
"""


def read(results: Path) -> list[Record]:
    """The lines that are there, but for those of an earlier form, whose seconds are others."""
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return [each for each in lines if "stages" in each]


def keep(results: Path, record: Record) -> None:
    """Write a line, in the place of the one that is there for the same run."""
    results.parent.mkdir(parents=True, exist_ok=True)
    lines = read(results) if results.exists() else []
    same = [each.get(key) for each in [record] for key in SAME]
    lines = [each for each in lines if [each.get(key) for key in SAME] != same]
    text = "".join(json.dumps(each) + "\n" for each in (*lines, record))
    results.write_text(text, encoding="utf-8")


def write_table(results: Path) -> str:
    """Write the Markdown beside the lines, and give its summary."""
    lines = sorted(read(results), key=lambda each: (each["seed"], each["strategy"] != "every-step"))
    pairs = _pairs(lines)
    first, summary = lines[0], _summary(pairs)
    page = PAGE.format(
        ratio=first["ratio"],
        images=first["images"],
        threads="One" if first["threads"] == 1 else first["threads"],
        runs=_runs(lines, pairs),
        stages=_stages(lines),
        summary=summary,
        **first["versions"],
    )
    results.with_suffix(".md").write_text(page, encoding="utf-8")
    return summary


def _pairs(lines: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Every run of another strategy with the run of every-step that is like it."""
    keys = (*SETTING, "seed")
    baselines = {tuple(each[key] for key in keys): each for each in lines if each["strategy"] == "every-step"}
    found = [(each, baselines.get(tuple(each[key] for key in keys))) for each in lines]
    return [(each, other) for each, other in found if other is not None and other is not each]


def _runs(lines: Sequence[Record], pairs: Sequence[tuple[Record, Record]]) -> str:
    others = {id(each): other for each, other in pairs}
    rows = []
    for each in lines:
        other, fired = others.get(id(each)), each["trainings"]
        chosen = (each["tuning"] or {}).get("chosen", {})
        drop = chosen.get("drop", each["drop"])
        shown = [f"{name} {value:g}" for name, value in chosen.items() if name != "drop"]
        rows.append(
            (
                each["seed"],
                f"`{each['strategy']}`",
                "" if drop is None else f"{drop:g}",
                ", ".join(shown),
                f"{fired['fired']} of {fired['bites']}",
                f"{each['accuracy']['before']:.2f} → {each['accuracy']['after']:.2f}",
                f"{each['cpu']:.1f}",
                f"{each['wall']:.1f}",
                "" if other is None else f"{other['cpu'] / each['cpu']:.2f}",
                "" if other is None else f"{other['wall'] / each['wall']:.2f}",
            )
        )
    head = ("seed", "strategy", "drop", "tuned", "trainings", "test accuracy, %", "CPU s", "wall s")
    return _table((*head, "measured speed-up (CPU)", "measured speed-up (wall)"), rows)


def _stages(lines: Sequence[Record]) -> str:
    stages = list(dict.fromkeys(stage for each in lines for stage in each["stages"]))
    rows = [
        (
            each["seed"],
            f"`{each['strategy']}`",
            *(f"{each['stages'].get(stage, 0.0):.1f}" for stage in stages),
        )
        for each in lines
    ]
    return _table(("seed", "strategy", *stages), rows)


def _summary(pairs: Sequence[tuple[Record, Record]]) -> str:
    figures: dict[str, Callable[[Record, Record], float]] = {
        "measured speed-up (CPU)": lambda own, other: other["cpu"] / own["cpu"],
        "measured speed-up (wall)": lambda own, other: other["wall"] / own["wall"],
        "test accuracy, points above `every-step`": lambda own, other: (
            own["accuracy"]["after"] - other["accuracy"]["after"]
        ),
    }
    rows = [
        (name, _spread([figure(own, other) for own, other in pairs]), len(pairs))
        for name, figure in figures.items()
        if pairs
    ]
    return _table(("ice tuned", "mean ± deviation", "seeds"), rows)


def _spread(values: Sequence[float]) -> str:
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{mean(values):.2f}{spread}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
