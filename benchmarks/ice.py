"""ICE with its tuning against training after every block: time and accuracy, on CIFAR-10.

    python benchmarks/ice.py --cifar cifar10 --make-network
    python benchmarks/ice.py --cifar cifar10 --strategies every-step,ice
    python benchmarks/ice.py --cifar cifar10 --strategies ice --trials 3 --drop 7 --final-epochs 1
    python benchmarks/ice.py --cifar cifar10 --network resnet20 --checkpoint resnet20.pt
    python benchmarks/ice.py --table

The first line trains a ResNet-110 on all training images, made small (8 × 8): what one core can prune 54
times in ten minutes. Every other line prunes by `--strategies` on the first `--per-class` training images of
each class, one strategy after the other in one process, and adds a line for each to `--results`. Seconds are
CPU seconds of one thread, by the stages that `prune` reports, tuning among them; `wall` is the whole command
with its reading of the test part, on whatever else the machine was doing.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import prunecli
from prunecli import FitSettings, Opening
from prunecli.architectures import build, resolve
from prunecli.checkpoints import write_checkpoint
from prunecli.data import open_data
from prunecli.strategies.parts import PartWishes
from prunecli.training import evaluate, fit
from prunecli.workflows.data import Images, open_images
from prunecli.workflows.opening import Opened, open_checkpoint
from prunecli.workflows.prune import prune
from prunecli.workflows.prune_tuning import TuningRequest

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "ice.jsonl"
WORK = HERE.parent / "scratch" / "ice"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = (3, 8, 8)
DEEP = resolve("cifar/resnet110", input_shape=SMALL)

# The paper's: no momentum of Nesterov is mentioned, CE + KL at T = 2 without T², weight decay 1e-4.
TRAINING = FitSettings(
    nesterov=False, weight_decay=1e-4, augment="cifar", label_weight=1.0, distill=0.25, temperature=2.0
)

Record = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """A network with its images, opened once for all strategies."""

    name: str
    opening: Opening
    opened: Opened
    images: Images


def make_network(cifar: str, target: Path, epochs: int) -> None:
    """Train the deep network on all training images, and write it as prunecli writes networks."""
    data = open_data(cifar, seed=0, image_shape=SMALL)
    torch.manual_seed(0)
    model = build(DEEP)
    chosen = FitSettings(epochs=epochs, lr=0.1, schedule="one-cycle", augment="cifar", mean=MEAN, std=STD)
    fit(model, data.for_training(), settings=chosen)
    accuracy = evaluate(model, data.test, mean=MEAN, std=STD).accuracy
    document = {
        "architecture": DEEP.document(),
        "input_shape": list(DEEP.input_shape),
        "normalisation": {"mean": list(MEAN), "std": list(STD)},
        "history": [{"command": "train", "by": "benchmarks/ice.py", "epochs": epochs, "lr": chosen.lr}],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(target, model.state_dict(), document, force=True)
    print(f"{accuracy:.2f} % on the test images, in {target}")


def share_of_images(cifar: Path, per_class: int, folder: Path) -> str:
    """A folder with links to the first `per_class` training images of each class and to the test images."""
    for source in sorted((cifar / "train").resolve().iterdir()):
        (folder / "train" / source.name).mkdir(parents=True)
        for image in sorted(source.iterdir())[:per_class]:
            (folder / "train" / source.name / image.name).symlink_to(image)
    (folder / "test").symlink_to((cifar / "test").resolve())
    return str(folder)


def opened_subject(asked: argparse.Namespace, folder: Path) -> Subject:
    """The network that was asked for and its images."""
    checkpoint = asked.checkpoint or str(asked.work / f"{asked.network}.safetensors")
    opening = Opening(checkpoint=checkpoint, mean=MEAN, std=STD)
    opened = open_checkpoint(opening)
    images = share_of_images(Path(asked.cifar), asked.per_class, folder)
    return Subject(asked.network, opening, opened, open_images(opened, images, seed=asked.seed))


def carried_out(subject: Subject, strategy: str, asked: argparse.Namespace) -> Record:
    """One pruning, its stages in CPU seconds."""
    tuned = strategy == "ice" and asked.trials > 0
    clock, begun = time.perf_counter, time.monotonic()
    time.perf_counter = time.process_time  # what the stages are measured with
    try:
        found = prune(
            subject.opening,
            ratio=asked.ratio,
            strategy=strategy,
            residual="inner",
            seed=asked.seed,
            recalibrate=asked.recalibrate,
            training=TRAINING,
            parts=PartWishes(drop=asked.drop, final_epochs=asked.final_epochs) if tuned else PartWishes(),
            tuning=TuningRequest(trials=asked.trials) if tuned else None,
            evaluate=True,
            opened=subject.opened,
            images=subject.images,
            progress=say,
        )
    finally:
        time.perf_counter = clock
    document = found.document()
    return {
        "network": subject.name,
        "strategy": strategy,
        "ratio": asked.ratio,
        "seed": asked.seed,
        "recalibrate": asked.recalibrate,
        "drop": asked.drop if tuned else None,
        "final_epochs": asked.final_epochs if tuned else None,
        "images": len(subject.images.data.train) + len(subject.images.data.validation),
        "accuracy": document["accuracy"],
        "cpu": {stage: round(spent, 2) for stage, spent in document["seconds"].items()},
        "wall": round(time.monotonic() - begun, 1),
        "trainings": document["trainings"],
        "reduction": document["reduction"],
        "history": [
            {"lr": each["lr"], "accuracy": round(each["accuracy"], 3)} for each in document["history"]
        ],
        "tuning": document.get("tuning"),
        "versions": {
            "prunecli": prunecli.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def say(stage: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
    """Remarks, as they come."""
    if not total:
        print(f"  {stage}", flush=True)


def append(results: Path, record: Record) -> None:
    """One more line."""
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def table(results: Path) -> str:
    """The lines as Markdown: each run of ice beside the run of every-step that is like it."""
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    keys = ("network", "ratio", "seed", "images", "recalibrate")
    baselines = {tuple(each[key] for key in keys): each for each in lines if each["strategy"] == "every-step"}
    found = [
        "| network | ratio | strategy | trials | drop | final epochs | trainings | test accuracy "
        "| CPU seconds | speed-up (CPU) "
        "| wall seconds | speed-up (wall) |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in lines:
        other = baselines.get(tuple(each[key] for key in keys))
        own, spent = sum(each["cpu"].values()), each["wall"]
        faster = ("", "")
        if other is not None and other is not each:
            faster = (f"{sum(other['cpu'].values()) / own:.2f}", f"{other['wall'] / spent:.2f}")
        accuracy, fired = each["accuracy"], each["trainings"]
        tuning = each["tuning"] or {"trials": (), "chosen": {}}
        trials = len(tuning["trials"]) or ""
        drop = each.get("drop") or tuning["chosen"].get("drop", "")
        found.append(
            f"| {each['network']} | {each['ratio']:g} | {each['strategy']} "
            f"| {trials} | {drop} | {each.get('final_epochs') or ''} | {fired['fired']} of {fired['bites']} "
            f"| {accuracy['before']:.2f} → {accuracy['after']:.2f} | {own:.1f} | {faster[0]} "
            f"| {spent:.0f} | {faster[1]} |"
        )
    return "\n".join(found)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cifar", help="CIFAR-10 as an image folder with train/ and test/")
    parser.add_argument("--network", default="resnet110", help="its name in the results")
    parser.add_argument("--checkpoint", help="unsaid: the one that --make-network wrote")
    parser.add_argument("--strategies", default="ice,every-step")
    parser.add_argument("--ratio", type=float, default=0.2)
    parser.add_argument("--drop", type=float, help="the trigger's points, else they are tuned")
    parser.add_argument("--final-epochs", type=int, help="of ice, after the last block")
    parser.add_argument("--trials", type=int, default=6, help="of the tuning; 0 for none")
    parser.add_argument("--per-class", type=int, default=250, help="training images")
    parser.add_argument("--recalibrate", type=int, default=0, help="batches; the paper has none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=WORK, help="a folder for the deep network")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--make-network", action="store_true", help="train the deep network, no more")
    parser.add_argument("--network-epochs", type=int, default=6)
    parser.add_argument("--table", action="store_true", help="print the Markdown of the results, no more")
    return parser.parse_args(arguments)


def main() -> None:
    """Make the network, print the table, or carry out the strategies."""
    asked = parsed()
    torch.set_num_threads(asked.threads)
    if asked.table:
        print(table(asked.results))
    elif asked.make_network:
        make_network(asked.cifar, asked.work / "resnet110.safetensors", asked.network_epochs)
    else:
        with tempfile.TemporaryDirectory() as folder:
            subject = opened_subject(asked, Path(folder))
            for strategy in asked.strategies.split(","):
                record = carried_out(subject, strategy, asked)
                append(asked.results, record)
                print(
                    json.dumps(
                        {key: record[key] for key in ("strategy", "accuracy", "cpu", "wall", "trainings")}
                    )
                )


if __name__ == "__main__":
    main()
