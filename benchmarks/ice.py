"""ICE with its tuning against training after every block: time and accuracy, on CIFAR-10.

    python benchmarks/ice.py --cifar cifar10 --make-network
    python benchmarks/ice.py --cifar cifar10 --strategies every-step,ice --seeds 0,1,2
    python benchmarks/ice.py --table

The first line trains a ResNet-110 on all training images, made small (8 × 8): what one core can prune 54
times in minutes. The second prunes by `--strategies` on the first `--per-class` training images of each
class, with every seed, one run after the other in one process, and writes a line for each to `--results`, in
the place of the line that is there for the same run. The last one, and every other at its end, writes the
table beside them. CPU and wall seconds are those of everything that `prune` does; left out are opening the
network and the images, the same for all, and reading the test part, which is done once the clock has stopped.
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
from ice_report import keep, write_table

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


def opened_subject(asked: argparse.Namespace, seed: int, folder: Path) -> Subject:
    """The network that was asked for and its images, divided by the seed."""
    checkpoint = asked.checkpoint or str(asked.work / f"{asked.network}.safetensors")
    opening = Opening(checkpoint=checkpoint, mean=MEAN, std=STD)
    opened = open_checkpoint(opening)
    images = share_of_images(Path(asked.cifar), asked.per_class, folder)
    return Subject(asked.network, opening, opened, open_images(opened, images, seed=seed))


def carried_out(subject: Subject, strategy: str, seed: int, asked: argparse.Namespace) -> Record:
    """One pruning with its seconds, and the accuracy on the test part before and after."""
    by_ice = strategy == "ice"
    tuned = by_ice and asked.trials > 0
    parts = PartWishes(drop=asked.drop, final_epochs=asked.final_epochs) if by_ice else PartWishes()
    wall, cpu = time.perf_counter(), time.process_time()
    found = prune(
        subject.opening,
        ratio=asked.ratio,
        strategy=strategy,
        residual="inner",
        seed=seed,
        judge="validation",
        recalibrate=asked.recalibrate,
        training=TRAINING,
        parts=parts,
        tuning=TuningRequest(trials=asked.trials) if tuned else None,
        opened=subject.opened,
        images=subject.images,
        progress=say,
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    document = found.document()
    return {
        "network": subject.name,
        "strategy": strategy,
        "ratio": asked.ratio,
        "seed": seed,
        "recalibrate": asked.recalibrate,
        "drop": parts.drop,
        "final_epochs": parts.final_epochs,
        "images": len(subject.images.data.train) + len(subject.images.data.validation),
        "threads": torch.get_num_threads(),
        "accuracy": {
            "before": on_test_part(subject.opened.model, subject),
            "after": on_test_part(found.model, subject),
        },
        "cpu": round(cpu, 2),
        "wall": round(wall, 2),
        "stages": {stage: round(spent, 2) for stage, spent in document["seconds"].items()},
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


def on_test_part(model: torch.nn.Module, subject: Subject) -> float:
    """The accuracy (%) on the test images."""
    found = evaluate(model, subject.images.data.test, mean=subject.images.mean, std=subject.images.std)
    return round(found.accuracy, 2)


def say(stage: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
    """Remarks, as they come."""
    if not total:
        print(f"  {stage}", flush=True)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cifar", help="CIFAR-10 as an image folder with train/ and test/")
    parser.add_argument("--network", default="resnet110", help="its name in the results")
    parser.add_argument("--checkpoint", help="unsaid: the one that --make-network wrote")
    parser.add_argument("--strategies", default="every-step,ice")
    parser.add_argument("--ratio", type=float, default=0.2)
    parser.add_argument("--drop", type=float, help="the trigger's points, else they are tuned")
    parser.add_argument("--final-epochs", type=int, default=1, help="of ice, after the last block")
    parser.add_argument("--trials", type=int, default=3, help="of the tuning; 0 for none")
    parser.add_argument("--per-class", type=int, default=500, help="training images")
    parser.add_argument("--recalibrate", type=int, default=0, help="batches; the paper has none")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=WORK, help="a folder for the deep network")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--make-network", action="store_true", help="train the deep network, no more")
    parser.add_argument("--network-epochs", type=int, default=6)
    parser.add_argument("--table", action="store_true", help="write the Markdown of the results, no more")
    return parser.parse_args(arguments)


def main() -> None:
    """Make the network, or carry out the strategies; and write the table."""
    asked = parsed()
    torch.set_num_threads(asked.threads)
    if asked.make_network:
        make_network(asked.cifar, asked.work / "resnet110.safetensors", asked.network_epochs)
        return
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    for seed in () if asked.table else seeds:
        with tempfile.TemporaryDirectory() as folder:
            subject = opened_subject(asked, seed, Path(folder))
            for strategy in asked.strategies.split(","):
                record = carried_out(subject, strategy, seed, asked)
                keep(asked.results, record)
                shown = ("strategy", "seed", "accuracy", "cpu", "wall", "stages", "trainings")
                print(json.dumps({key: record[key] for key in shown}), flush=True)
    print(write_table(asked.results))


if __name__ == "__main__":
    main()
