"""A real ResNet-20 cut by 0.3 and 0.5 and fine-tuned for a few epochs, by the command line alone.

    python benchmarks/finetune_resnet20.py --checkpoint resnet20_cifar10jpeg.pt --data cifar10 --epochs 8

For each ratio: `prune` (l2, one-shot, residual sums cut together), `finetune` with its recalibration of batch
norm, `evaluate` on the file that was written. The epoch is chosen by a share of the training images; the test
images are only looked at, and steer nothing. Writes `--out` after every ratio, and a picture of the courses
beside it.

The rate: recalibrated, these cuts still miss about half of the answers or most of them, so there is little
for a high rate to lose, and few epochs to make up for it. So half of the 0.1 that networks of this kind are
trained with, falling to nothing on a cosine within the epochs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "finetune_resnet20.md"
PLACEHOLDERS = ("CHECKPOINT", "DATA", "PRUNED", "TUNED")
"""Stand in the commands that are shown for the paths of this machine."""

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Course:
    """One ratio: the JSON of the commands in their order, and the seconds that all took."""

    ratio: float
    pruned: Document
    tuned: Document
    evaluated: Document
    seconds: float


def commands(asked: argparse.Namespace, ratio: str) -> dict[str, list[str]]:
    """The arguments after `prunecli`, with placeholders for paths."""
    scale = ["--mean", asked.mean, "--std", asked.std]
    judged = ["--data", "DATA", "--json"]
    return {
        "prune": [
            *("prune", "CHECKPOINT", "--ratio", ratio, "--criterion", "l2", "--strategy", "one-shot"),
            *("--residual", "coupled", *scale, "--no-evaluate", "--json", "-o", "PRUNED"),
        ],
        "finetune": [
            *("finetune", "PRUNED", "--epochs", str(asked.epochs), "--lr", str(asked.lr)),
            *("--schedule", "cosine", "--batch-size", str(asked.batch_size), "--augment", asked.augment),
            *("--recalibrate", str(asked.recalibrate), "--seed", str(asked.seed), *scale),
            *(*judged, "-o", "TUNED"),
        ],
        "evaluate": ["evaluate", "TUNED", *scale, *judged],
    }


def run(arguments: Sequence[str], paths: Mapping[str, str]) -> dict[str, Any]:
    """The JSON that the command line answers; its notes and its progress go on to standard error."""
    print("prunecli", *arguments, file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "prunecli", *(paths.get(each, each) for each in arguments)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode:
        raise SystemExit(f"`{arguments[0]}` ended with {answer.returncode}")
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


def course(asked: argparse.Namespace, ratio: str, folder: Path) -> Course:
    """Cut, fine-tune and evaluate at one ratio; the checkpoints go into `folder`."""
    files = {name: str(folder / f"{name.lower()}-{ratio}.safetensors") for name in ("PRUNED", "TUNED")}
    paths = {"CHECKPOINT": asked.checkpoint, "DATA": asked.data, **files}
    start = time.perf_counter()
    answers = {name: run(arguments, paths) for name, arguments in commands(asked, ratio).items()}
    seconds = time.perf_counter() - start
    return Course(float(ratio), answers["prune"], answers["finetune"], answers["evaluate"], seconds)


def report(asked: argparse.Namespace, dense: Document, courses: Sequence[Course]) -> str:
    """The whole Markdown."""
    shown = "\n".join(
        " ".join(["python -m prunecli", *arguments])
        for arguments in (dense_command(asked), *commands(asked, "RATIO").values())
    )
    lines = [
        f"# {Path(asked.checkpoint).name}, cut and fine-tuned",
        "",
        f"Written by `benchmarks/finetune_resnet20.py --epochs {asked.epochs} --ratios {asked.ratios}`. "
        "The validation images are a share of the training images and choose the epoch; the network has seen "
        "them in its training before the cut, so they flatter it. "
        f"The {dense['images']:,} test images steer nothing. {environment(asked)}.",
        "",
        f"![Accuracy over the epochs]({picture_beside(Path(asked.out)).name})",
        "",
        *summary(dense, courses),
        *(line for each in courses for line in table(dense, each)),
        "## Commands",
        "",
        "```sh",
        shown,
        "```",
        "",
    ]
    return "\n".join(lines)


def dense_command(asked: argparse.Namespace) -> list[str]:
    """Evaluation of the checkpoint before anything is cut, with placeholders for paths."""
    return ["evaluate", "CHECKPOINT", "--mean", asked.mean, "--std", asked.std, "--data", "DATA", "--json"]


def environment(asked: argparse.Namespace) -> str:
    """What it ran on."""
    import torch

    from prunecli.version import __version__

    return (
        f"prunecli {__version__}, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}, {asked.threads} thread(s)"
    )


def summary(dense: Document, courses: Sequence[Course]) -> list[str]:
    """One row a ratio: test accuracy at each stage."""
    lines = [
        "Test accuracy, %:",
        "",
        "| ratio | parameters | MACs | before | after the cut | recalibrated | fine-tuned | lost, points |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for each in courses:
        less, tuned = each.pruned["reduction"], each.tuned
        recalibrated = _figures(tuned.get("recalibrated"))[0]
        lines.append(
            f"| {each.ratio} | −{100 * less['params']:.1f} % | −{100 * less['macs']:.1f} % | "
            f"{dense['accuracy']:.2f} | {tuned['before']['accuracy']:.2f} | {recalibrated} | "
            f"{tuned['after']['accuracy']:.2f} | {dense['accuracy'] - tuned['after']['accuracy']:.2f} |"
        )
    return [*lines, ""]


def table(dense: Document, one: Course) -> list[str]:
    """Every stage and every epoch of one ratio."""
    tuned, best, sizes = one.tuned, one.tuned["best"]["epoch"], (one.pruned["before"], one.pruned["after"])
    sizes_in_words = [f"{each['params']:,} parameters and {each['macs']:,} MACs" for each in sizes]
    same = tuned["after"]["accuracy"] == one.evaluated["accuracy"]
    lines = [
        f"## Ratio {one.ratio}",
        "",
        f"{' → '.join(sizes_in_words)}; {one.seconds:.0f} s in all, "
        f"{tuned['history'][-1]['images_per_second']:.0f} training images a second. `evaluate` says "
        f"{'the same' if same else format(one.evaluated['accuracy'], '.2f') + ' %'} of the file written.",
        "",
        "| stage | test, % | test loss | validation, % | validation loss | training loss | rate |",
        "|---|---:|---:|---:|---:|---:|---:|",
        _tested("before", dense),
        _tested("after the cut", tuned["before"]),
    ]
    if tuned.get("recalibrated"):
        lines.append(_tested("batch norm recalibrated", tuned["recalibrated"]))
    for epoch in tuned["history"]:
        cells = (*_figures(epoch), f"{epoch['train_loss']:.4f}", f"{epoch['lr']:.5f}")
        lines.append(f"| epoch {epoch['epoch']} | | | {' | '.join(cells)} |")
    return [*lines, _tested(f"kept: epoch {best}", tuned["after"], validation=tuned["best"]), ""]


def _tested(stage: str, test: Document, *, validation: Document | None = None) -> str:
    accuracy, loss = _figures(test)
    judged = f" {validation['accuracy']:.2f} |" if validation else " |"
    return f"| {stage} | {accuracy} | {loss} |{judged} | | |"


def _figures(found: Document | None) -> tuple[str, str]:
    """Accuracy and loss as they are written; a stage that was left out has none."""
    return ("", "") if found is None else (f"{found['accuracy']:.2f}", f"{found['loss']:.4f}")


def picture_beside(target: Path) -> Path:
    """Where the picture of a Markdown file goes."""
    return target.with_suffix(".png")


def draw(dense: Document, courses: Sequence[Course], path: Path) -> None:
    """Validation accuracy over the epochs, and what the test images say before and after."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.axhline(dense["accuracy"], color="0.5", linestyle="--", label="before, test")
    stages: dict[str, str] = {}
    for at, one in enumerate(courses):
        colour, history = f"C{at}", one.tuned["history"]
        epochs, accuracies = zip(*((each["epoch"], each["accuracy"]) for each in history), strict=True)
        axes.plot(epochs, accuracies, color=colour, label=f"ratio {one.ratio}, validation")
        for name, marker, epoch, found in (
            ("after the cut", "o", 0, one.tuned["before"]),
            ("recalibrated", "s", 0, one.tuned.get("recalibrated")),
            ("kept epoch", "*", one.tuned["best"]["epoch"], one.tuned["after"]),
        ):
            if found:
                stages[name] = marker
                axes.plot(epoch, found["accuracy"], marker, color=colour)
    for name, marker in stages.items():
        axes.plot([], [], marker, color="0.3", label=f"{name}, test")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="accuracy, %", ylim=(0, 100))
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run the commands ratio by ratio, and write what comes of each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--data", required=True, help="CIFAR-10 as an image folder with train/ and test/")
    parser.add_argument("--ratios", default="0.3,0.5")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--augment", default="cifar")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--recalibrate", type=int, default=10, help="batches; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mean", default="0.485,0.456,0.406")
    parser.add_argument("--std", default="0.229,0.224,0.225")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", help="an empty folder for the checkpoints; left out: they are not kept")
    parser.add_argument("--out", default=str(RESULT))
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)  # for the commands, which have no option for it
    target = Path(asked.out)
    courses: list[Course] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(asked.keep or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        dense = run(dense_command(asked), {"CHECKPOINT": asked.checkpoint, "DATA": asked.data})
        for ratio in asked.ratios.split(","):
            courses.append(course(asked, ratio, folder))
            draw(dense, courses, picture_beside(target))
            target.write_text(report(asked, dense, courses), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
