"""Every criterion against every other on a real checkpoint, with the noise floor, the oracle and cuts judged.

    python benchmarks/criteria.py resnet20.th --data cifar10 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225

Writes benchmarks/results/criteria_NAME.md and a heatmap beside it. With 512 images of CIFAR-10 most of
the time goes into the criteria that take passes of their own: `oracle` silences every filter by itself,
`ig` walks every layer's gates in 20 steps.
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import torch

from prunecli.cli import tables
from prunecli.cli.pages import compare as pages
from prunecli.criteria.contract import CRITERIA
from prunecli.version import __version__
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.compare import compare
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opening

RESULTS = Path(__file__).parent / "results"
SECOND_NAMES = {"taylor"}
"""Names of a criterion that has another."""


def main() -> None:
    """Compare, and write what comes of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--data", required=True)
    parser.add_argument("--mean")
    parser.add_argument("--std")
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--criteria", help="left out: all")
    parser.add_argument("--ratios", default="0.1,0.3,0.5")
    parser.add_argument("--name", default="resnet20")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    criteria = asked.criteria.split(",") if asked.criteria else [n for n in CRITERIA if n not in SECOND_NAMES]
    target = RESULTS / f"criteria_{asked.name}.md"
    start = time.perf_counter()
    found = compare(
        Opening(checkpoint=asked.checkpoint, mean=_numbers(asked.mean), std=_numbers(asked.std)),
        criteria=criteria,
        ratios=_numbers(asked.ratios) or (),
        calibration=Calibration(data=asked.data, batches=asked.batches, batch_size=asked.batch_size),
        cwda=True,
        judge_cuts=True,
        top=0,
        keep=Keepsakes(plot=str(target.with_suffix(".png")), force=True),
        progress=lambda stage, done, total, figures=None: print(stage, done, total, flush=True),
    )
    seconds = time.perf_counter() - start
    document = {**found.document(), "first_pruned": []}
    head = [
        f"# {len(criteria)} criteria on {Path(asked.checkpoint).name}",
        "",
        f"Written by `benchmarks/criteria.py`: {asked.batches * asked.batch_size} training images of "
        f"{Path(asked.data).name}, as many others for the noise floor, as many held-out ones for the cuts. "
        f"prunecli {__version__}, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{asked.threads} thread(s), {seconds:.0f} s in all.",
        "",
        f"![Criteria against criteria]({target.with_suffix('.png').name})",
        "",
        "",
    ]
    target.write_text("\n".join(head) + tables.as_markdown(pages.page(document)), encoding="utf-8")


def _numbers(text: str | None) -> tuple[float, ...] | None:
    return None if text is None else tuple(float(part) for part in text.split(","))


if __name__ == "__main__":
    main()
