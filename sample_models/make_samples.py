"""Train the three sample models on the digits of scikit-learn and write them, with their README.

    python sample_models/make_samples.py                 all three, in a minute or two
    python sample_models/make_samples.py --only resnet8  one of them

The same seed gives the same bytes on the same machine with the same torch and the same number of threads
(--threads, 1 unless told otherwise); elsewhere the last digits of floating-point sums may differ.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from prunecli.architectures import Architecture, build, resolve
from prunecli.checkpoints import write_checkpoint
from prunecli.data import DataSet, open_data
from prunecli.training import EpochRecord, FitSettings, evaluate, fit

HERE = Path(__file__).parent
SEED = 0


@dataclass(frozen=True)
class Recipe:
    """One sample: the file's stem, the architecture's name, and how long it is trained at which rate."""

    stem: str
    architecture: str
    epochs: int
    lr: float


RECIPES = {
    "resnet8": Recipe("resnet8-digits", "digits/resnet8", epochs=40, lr=0.1),
    "vgg6_bn": Recipe("vgg6bn-digits", "digits/vgg6_bn", epochs=40, lr=0.1),
    "mobilenet": Recipe("mobilenet-digits", "digits/mobilenet", epochs=40, lr=0.1),
}


@dataclass(frozen=True)
class Made:
    """What the README says about one file."""

    recipe: Recipe
    accuracy: float
    parameters: int
    macs: int
    size: int
    sha256: str
    seconds: float


def make(recipe: Recipe, data: DataSet, *, folder: Path) -> Made:
    """Train one network from its seed and write it."""
    start = time.perf_counter()
    torch.manual_seed(SEED)
    architecture = resolve(recipe.architecture)
    model = build(architecture)
    settings = FitSettings(
        epochs=recipe.epochs, lr=recipe.lr, batch_size=64, warmup_epochs=2, augment="light", seed=SEED
    )
    result = fit(model, data.for_training(), settings=settings)
    best = result.history[result.best_epoch]
    test = evaluate(model, data.test, mean=data.mean, std=data.std)
    path = folder / f"{recipe.stem}.safetensors"
    document = describe(architecture, data, settings=settings, best=best, accuracy=test.accuracy)
    written = write_checkpoint(path, model.state_dict(), document, force=True)
    return Made(
        recipe=recipe,
        accuracy=test.accuracy,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=count_macs(architecture),
        size=written.bytes,
        sha256=written.sha256,
        seconds=time.perf_counter() - start,
    )


def describe(
    architecture: Architecture, data: DataSet, *, settings: FitSettings, best: EpochRecord, accuracy: float
) -> dict[str, Any]:
    """The JSON document that lies in the file: nothing in it depends on the clock."""
    chosen = asdict(settings)
    for name in ("mean", "std", "device"):
        del chosen[name]
    return {
        "architecture": {
            "name": architecture.name,
            "arguments": dict(architecture.arguments),
            "input_shape": list(architecture.input_shape),
        },
        "input_shape": list(architecture.input_shape),
        "normalisation": {"mean": list(data.mean), "std": list(data.std)},
        "data": data.name,
        "accuracy": accuracy,
        "history": [
            {
                "command": "train",
                "by": "sample_models/make_samples.py",
                "data": data.name,
                "settings": chosen,
                "best": {"epoch": best.epoch, "validation_accuracy": best.accuracy},
                "accuracy": accuracy,
            }
        ],
    }


def count_macs(architecture: Architecture) -> int:
    """Multiply-accumulates of one image, by torch's own counter on the meta device."""
    model: nn.Module = build(architecture, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty((1, *architecture.input_shape), device="meta"))
    flops: int = counter.get_total_flops()
    return flops // 2


def readme(made: list[Made], *, threads: int) -> str:
    """The README beside the files, with their figures."""
    rows = "\n".join(
        f"| `{each.recipe.stem}.safetensors` | `{each.recipe.architecture}` | {each.accuracy:.2f} %"
        f" | {each.parameters:,} | {each.macs:,} | {each.size:,} | `{each.sha256}` |"
        for each in made
    )
    return f"""# Sample models

Three small networks for the 8x8 handwritten digits that scikit-learn carries (1797 images, 10 classes). They
ship with the package, so that every command runs with nothing downloaded; `resnet8-digits` is the one that
is taken when no checkpoint is given.

| file | architecture | test accuracy | parameters | MACs | bytes | sha256 |
|---|---|---|---|---|---|---|
{rows}

- Accuracy is top-1 on the 450 test images of the data source `digits`. The best epoch was chosen on the
  validation part, a tenth of the other 1347 images; the test images chose nothing.
- MACs are multiply-accumulates of one image, `torch.utils.flop_counter` on the meta device divided by 2.
- Each file holds the tensors and, in its metadata under `prunecli`, the architecture with its arguments, the
  input shape, the normalisation, the data, the accuracy and how it was trained.

Made again with `python sample_models/make_samples.py`, in a minute or two. The same seed gives the same
bytes on the same machine with the same torch (here {torch.__version__.partition("+")[0]}) and {threads}
thread{"s" if threads != 1 else ""}; on another machine the sums of floating-point numbers round differently,
and the accuracy may differ by a few images.
"""


def main() -> None:
    """Train, write, and print a line for each file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=sorted(RECIPES), help="make this one; the README is left alone")
    parser.add_argument("--folder", type=Path, default=HERE, help="where the files go")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.use_deterministic_algorithms(True)
    data = open_data("digits", seed=SEED)
    names = [chosen.only] if chosen.only else list(RECIPES)
    made = []
    for name in names:
        made.append(make(RECIPES[name], data, folder=chosen.folder))
        each = made[-1]
        print(f"{each.recipe.stem}: {each.accuracy:.2f} % in {each.seconds:.0f} s, {each.sha256}")
    if not chosen.only:
        (chosen.folder / "README.md").write_text(readme(made, threads=chosen.threads), encoding="utf-8")


if __name__ == "__main__":
    main()
