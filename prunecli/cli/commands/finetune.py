"""prunecli finetune."""

from __future__ import annotations

from typing import Annotated

from prunecli.cli import options
from prunecli.cli.gathering import Manner, Subject, Target
from prunecli.cli.names import choice
from prunecli.cli.option import DATA, TRAINING, option
from prunecli.cli.options import AUGMENTS, SCHEDULES
from prunecli.cli.pages import finetune as pages
from prunecli.cli.presenting import present
from prunecli.cli.values import number

EXAMPLES = """
prunecli finetune small.safetensors --data digits --epochs 10 -o tuned.safetensors
prunecli finetune small.pt --data torchvision:CIFAR10:data --augment cifar -o tuned.safetensors
"""

Momentum = Annotated[
    float,
    option("--momentum", help="Momentum of SGD.", metavar="M", parse=number(0, below=1), section=TRAINING),
]
WeightDecay = Annotated[
    float,
    option("--weight-decay", help="Weight decay of SGD.", metavar="D", parse=number(0), section=TRAINING),
]
Schedule = Annotated[
    str,
    option(
        "--schedule",
        help="How the learning rate goes over the epochs.",
        metavar="cosine|constant",
        parse=choice("schedule", SCHEDULES),
        section=TRAINING,
    ),
]
Augment = Annotated[
    str,
    option(
        "--augment",
        help="How training images are varied.",
        metavar="none|light|cifar",
        parse=choice("augment", AUGMENTS),
        section=TRAINING,
    ),
]
ValidationShare = Annotated[
    float,
    option(
        "--validation-share",
        help="Share of the training images that chooses the best epoch.",
        metavar="S",
        parse=number(0, above=0, below=1),
        section=DATA,
    ),
]


def finetune(
    subject: Subject,
    *,
    target: Target,
    manner: Manner,
    data: options.Data = None,
    epochs: options.Epochs = 10,
    lr: options.LearningRate = 0.01,
    momentum: Momentum = 0.9,
    weight_decay: WeightDecay = 5e-4,
    batch_size: options.BatchSize = 128,
    schedule: Schedule = "cosine",
    augment: Augment = "none",
    seed: options.Seed = 0,
    validation_share: ValidationShare = 0.1,
) -> None:
    """Train a checkpoint on data; the best epoch on the validation share is kept."""
    from prunecli.workflows.finetune import finetune as work

    present(
        "finetune",
        lambda progress: work(
            subject.opening(),
            data=data,
            epochs=epochs,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            schedule=schedule,
            augment=augment,
            seed=seed,
            validation_share=validation_share,
            output=target.output,
            force=target.force,
            progress=progress,
        ),
        pages=pages,
        manner=manner,
        destination=target.output,
        following=pages.following,
    )
