"""Every way to a pruning ratio on CIFAR-10 at one budget: one cut, bites, and the soft family.

    python benchmarks/strategies.py --cifar cifar10 --make-network
    python benchmarks/strategies.py --cifar cifar10 --resnet20 resnet20_cifar10jpeg.pt --networks resnet20
    python benchmarks/strategies.py --cifar cifar10 --networks plain --ratios 0.5,0.9
    python benchmarks/strategies.py --table

The first line trains the second network, a plain one without residual sums, on all training images. Each run
after that has `--epochs` epochs in all on the first `--per-class` training images of each class, whatever its
way; a tenth of these chooses the epoch, the test images steer nothing. Every finished run is a line of
`--results`; what is there is left out, so the same command goes on where it was stopped, and
`--shard 1/2` beside `--shard 2/2` share the work. `--table` writes the Markdown and the picture beside them.
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import hashlib
import json
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from strategies_report import write_report

import prunecli
from prunecli import FitSettings, Opening
from prunecli.architectures import build, resolve
from prunecli.checkpoints import write_checkpoint
from prunecli.data import open_data
from prunecli.strategies.bites import BiteWishes
from prunecli.training import evaluate, fit

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "strategies.jsonl"
WORK = HERE.parent / "scratch" / "strategies"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

PLAIN = resolve(
    "digits/vgg6_bn",
    arguments={"in_channels": 3, "stages": [[24, 24], [48, 48], [96, 96]]},
    input_shape=(3, 32, 32),
)
STEPS = 4
SOFT = ("hfp", "sfp", "asfp", "srfp", "asrfp", "ghfp")

Record = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One line of the results: what makes it this run and no other."""

    network: str
    way: str
    ratio: float
    seed: int
    epochs: int
    lr: float


@dataclass(frozen=True)
class Place:
    """Where a run reads and writes: its checkpoint, its images, and a folder that is thrown away."""

    checkpoint: str
    images: str
    folder: Path

    @property
    def opening(self) -> Opening:
        """The whole network."""
        return Opening(checkpoint=self.checkpoint, mean=MEAN, std=STD)

    @property
    def pruned(self) -> str:
        """Where the pruned network goes."""
        return str(self.folder / "pruned.safetensors")


def settings(run: Run, epochs: int) -> FitSettings:
    """The same training for every way."""
    return FitSettings(
        epochs=epochs, lr=run.lr, schedule="cosine", batch_size=128, augment="cifar", seed=run.seed
    )


def wishes(ratio: float, epochs: int) -> BiteWishes:
    """Four bites of `iterative` and `geometric` where there are epochs for them; `hybrid` takes few."""
    return BiteWishes(steps=min(STEPS, epochs), later=0.25 if ratio < 0.8 else 0.5)


def asked_epochs(strategy: str, run: Run, place: Place, epochs: int) -> int:
    """What to ask a strategy for so that its bites have `epochs` in all, for none goes without one."""
    for asked in range(epochs, 0, -1):
        shown = prunecli.prune(
            place.opening,
            ratio=run.ratio,
            strategy=strategy,
            epochs=asked,
            bites=wishes(run.ratio, epochs),
            dry_run=True,
        )
        if not shown.bites or sum(bite.epochs for bite in shown.bites) == epochs:
            return asked
    raise SystemExit(f"{strategy} to {run.ratio} does not fit into {epochs} epochs")


def cut(run: Run, place: Place) -> Record:
    """All channels at once; nothing is trained."""
    document = prunecli.prune(
        place.opening, ratio=run.ratio, strategy="one-shot", seed=run.seed, output=place.pruned
    ).document()
    return {**_sizes(document), "accuracy": {}, "history": [], "bites": []}


def trained(strategy: str, run: Run, place: Place, epochs: int) -> Record:
    """A strategy that trains, for `epochs` in all."""
    document = prunecli.prune(
        place.opening,
        ratio=run.ratio,
        strategy=strategy,
        seed=run.seed,
        data=place.images,
        evaluate=True,
        epochs=asked_epochs(strategy, run, place, epochs),
        training=settings(run, epochs),
        bites=wishes(run.ratio, epochs),
        output=place.pruned,
    ).document()
    accuracy = {name: document["accuracy"][name] for name in ("cut", "after")}
    return {
        **_sizes(document),
        "accuracy": accuracy,
        "history": _courses(document["history"]),
        "bites": document["bites"],
    }


def tuned(found: Record, run: Run, place: Place, epochs: int) -> Record:
    """What `finetune` makes of a pruned network; its epochs are counted on."""
    document = prunecli.finetune(
        Opening(checkpoint=place.pruned), settings=settings(run, epochs), data=place.images
    ).document()
    accuracy = {
        "cut": document["before"]["accuracy"],
        "recalibrated": document["recalibrated"] and document["recalibrated"]["accuracy"],
        "after": document["after"]["accuracy"],
    }
    history = [*found["history"], *_courses(document["history"], len(found["history"]))]
    return {**found, "accuracy": accuracy, "history": history}


def _sizes(document: Mapping[str, Any]) -> Record:
    return {name: [document[when][name] for when in ("before", "after")] for name in ("params", "macs")}


def _courses(history: Iterable[Mapping[str, Any]], done: int = 0) -> list[Record]:
    return [
        {
            "epoch": each["epoch"] + done,
            "accuracy": round(each["accuracy"], 4),
            "train_loss": round(each["train_loss"], 5),
        }
        for each in history
    ]


def one_cut(run: Run, place: Place) -> Record:
    """All channels at once, then all the epochs."""
    return tuned(cut(run, place), run, place, run.epochs)


def by_strategy(strategy: str) -> Callable[[Run, Place], Record]:
    """All the epochs in the hands of the strategy."""
    return lambda run, place: trained(strategy, run, place, run.epochs)


def geometric_half(run: Run, place: Place) -> Record:
    """Half of the epochs among the bites, the other half for what they leave."""
    early = run.epochs // 2
    return tuned(trained("geometric", run, place, early), run, place, run.epochs - early)


WAYS: dict[str, Callable[[Run, Place], Record]] = {
    "one-shot": one_cut,
    "iterative": by_strategy("iterative"),
    "geometric": by_strategy("geometric"),
    "geometric-half": geometric_half,
    "hybrid": by_strategy("hybrid"),
    **{name: by_strategy(name) for name in SOFT},
}


@functools.cache
def whole(checkpoint: str, images: str) -> tuple[float, str]:
    """Test accuracy (%) of a network before anything is cut, and the beginning of its file's SHA-256."""
    opening = Opening(checkpoint=checkpoint, mean=MEAN, std=STD)
    accuracy: float = prunecli.evaluate(opening, data=images).document()["accuracy"]
    return accuracy, hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest()[:16]


def carried_out(run: Run, checkpoint: str, images: str) -> Record:
    """The line of one run."""
    before, digest = whole(checkpoint, images)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = WAYS[run.way](run, Place(checkpoint, images, Path(folder)))
    return {
        **asdict(run),
        **found,
        "accuracy": {"before": before, **found["accuracy"]},
        "seconds": round(time.perf_counter() - start, 1),
        "checkpoint": digest,
        "versions": {
            "prunecli": prunecli.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def planned(asked: argparse.Namespace) -> list[Run]:
    """All runs, seed by seed, so that what is there when it is stopped is of use."""
    ways = asked.ways.split(",")
    runs = []
    for network in asked.networks.split(","):
        for seed in range(asked.seeds):
            pairs = [(way, asked.soft_ratio) for way in ways if way in SOFT]
            pairs = [("one-shot", asked.soft_ratio), *pairs] if pairs else []
            pairs += [
                (way, ratio)
                for ratio in map(float, asked.ratios.split(",") if asked.ratios else ())
                for way in ways
                if way not in SOFT
            ]
            runs += [
                Run(network, way, ratio, seed, asked.epochs, asked.lr) for way, ratio in dict.fromkeys(pairs)
            ]
    return runs


def done(results: Path) -> set[Run]:
    """The runs that have a line."""
    names = Run.__dataclass_fields__
    return {Run(**{name: line[name] for name in names}) for line in read(results)}


def read(results: Path) -> list[Record]:
    """The lines that are there."""
    text = results.read_text(encoding="utf-8") if results.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def append(results: Path, record: Record) -> None:
    """One more line; another shard may be writing as well."""
    results.parent.mkdir(parents=True, exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(record) + "\n")


def share_of_images(cifar: Path, per_class: int, work: Path) -> str:
    """A folder with links to the first `per_class` training images of each class and to the test images."""
    target = work / f"images-{per_class}"
    if not target.is_dir():
        work.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=work))
        for source in sorted((cifar / "train").resolve().iterdir()):
            (fresh / "train" / source.name).mkdir(parents=True)
            for image in sorted(source.iterdir())[:per_class]:
                (fresh / "train" / source.name / image.name).symlink_to(image)
        (fresh / "test").symlink_to((cifar / "test").resolve())
        try:
            fresh.rename(target)
        except OSError:  # another shard was faster
            shutil.rmtree(fresh)
    return str(target)


def make_network(cifar: Path, target: Path, epochs: int) -> None:
    """Train the plain network on all training images, and write it as prunecli writes networks."""
    data = open_data(str(cifar), seed=0, image_shape=(3, 32, 32))
    torch.manual_seed(0)
    model = build(PLAIN)
    chosen = FitSettings(epochs=epochs, lr=0.1, augment="cifar", mean=MEAN, std=STD)
    result = fit(model, data.for_training(), settings=chosen, progress=say)
    accuracy = evaluate(model, data.test, mean=MEAN, std=STD).accuracy
    document = {
        "architecture": PLAIN.document(),
        "input_shape": list(PLAIN.input_shape),
        "normalisation": {"mean": list(MEAN), "std": list(STD)},
        "history": [
            {"command": "train", "by": "benchmarks/strategies.py", "epochs": epochs, "lr": chosen.lr}
        ],
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(target, model.state_dict(), document, force=True)
    print(f"{accuracy:.2f} % on the test images, epoch {result.best_epoch + 1}, in {target}")


def say(stage: str, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
    """How far the training is, on standard error."""
    print(stage, done, total, dict(figures or {}), file=sys.stderr, flush=True)


def carry_out(asked: argparse.Namespace) -> None:
    """The runs of this shard that have no line yet."""
    images = share_of_images(Path(asked.cifar), asked.per_class, asked.work)
    checkpoints = {"resnet20": asked.resnet20, "plain": str(asked.work / "plain.safetensors")}
    own, shards = map(int, asked.shard.split("/"))
    for run in planned(asked)[own - 1 :: shards]:
        if run in done(asked.results):
            continue
        record = carried_out(run, checkpoints[run.network], images)
        append(asked.results, record)
        print(f"{run}: {record['accuracy']['after']:.2f} in {record['seconds']:.0f} s", flush=True)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cifar", help="CIFAR-10 as an image folder with train/ and test/")
    parser.add_argument("--resnet20", help="the checkpoint of the first network")
    parser.add_argument("--networks", default="resnet20,plain")
    parser.add_argument("--ways", default=",".join(way for way in WAYS if way != "geometric-half"))
    parser.add_argument("--ratios", default="0.3,0.5,0.7,0.9", help="of one cut and of bites")
    parser.add_argument("--soft-ratio", type=float, default=0.4, help="of the soft family, and of one cut")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4, help="in all, of every way")
    parser.add_argument("--lr", type=float, default=0.05, help="where the cosine begins")
    parser.add_argument("--per-class", type=int, default=1000, help="training images")
    parser.add_argument("--shard", default="1/1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=WORK, help="a folder for links and the second network")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--make-network", action="store_true", help="train the second network, no more")
    parser.add_argument("--network-epochs", type=int, default=10)
    parser.add_argument("--table", action="store_true", help="write the Markdown of the results, no more")
    return parser.parse_args(arguments)


def main() -> None:
    """Make the network, write the table, or carry out the runs."""
    asked = parsed()
    torch.set_num_threads(asked.threads)
    if asked.table:
        write_report(read(asked.results), asked.results.with_suffix(".md"))
    elif asked.make_network:
        make_network(Path(asked.cifar), asked.work / "plain.safetensors", asked.network_epochs)
    else:
        carry_out(asked)


if __name__ == "__main__":
    main()
