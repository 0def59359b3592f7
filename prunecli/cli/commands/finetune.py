"""prunecli finetune."""

from __future__ import annotations

from dataclasses import asdict

from prunecli.cli import options
from prunecli.cli.gathering import Manner, Publishing, Subject, Target
from prunecli.cli.pages import finetune as pages
from prunecli.cli.presenting import present
from prunecli.cli.training_options import (
    Enduring,
    Going,
    Learning,
    Log,
    Recalibrate,
    Teacher,
    Teaching,
    ValidationShare,
)

EXAMPLES = """
prunecli finetune small.safetensors --data digits --epochs 10 -o tuned.safetensors
prunecli finetune small.pt --data torchvision:CIFAR10:data --augment cifar -o tuned.safetensors
prunecli finetune small.safetensors --data images/ --teacher model.pth --patience 5 -o tuned.safetensors
torchrun --nproc-per-node 4 -m prunecli finetune small.safetensors --data images/ -o tuned.safetensors
"""


def finetune(
    subject: Subject,
    *,
    target: Target,
    manner: Manner,
    learning: Learning,
    enduring: Enduring,
    teaching: Teaching,
    going: Going,
    publishing: Publishing,
    data: options.Data = None,
    epochs: options.Epochs = 10,
    recalibrate: Recalibrate = None,
    teacher: Teacher = None,
    log: Log = None,
    seed: options.Seed = 0,
    validation_share: ValidationShare = 0.1,
    skip_bad_images: options.SkipBadImages = False,
) -> None:
    """Train a checkpoint on data; the best epoch on the validation share is kept."""
    from prunecli.workflows.finetune import finetune as work

    present(
        "finetune",
        lambda progress: work(
            subject.opening(),
            settings=learning.settings(epochs=epochs, seed=seed, **asdict(enduring), **teaching.choices()),
            data=data,
            validation_share=validation_share,
            skip_bad_images=skip_bad_images,
            recalibrate=recalibrate,
            teacher=teacher,
            logs=log or (),
            **asdict(going),
            output=target.output,
            force=target.force,
            keep=publishing.keepsakes(force=target.force),
            progress=progress,
        ),
        pages=pages,
        manner=manner,
        destination=target.output,
        following=pages.following,
    )
