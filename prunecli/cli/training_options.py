"""The options of whatever trains: how it learns, how long, in which precision; what only `finetune` has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from prunecli.cli import options, streams
from prunecli.cli.layer_names import layers
from prunecli.cli.names import choice
from prunecli.cli.option import DATA, RESULT, TRAINING, option
from prunecli.cli.values import number, whole

if TYPE_CHECKING:
    from prunecli.training.settings import FitSettings

OPTIMISERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "constant", "step", "one-cycle")
PRECISIONS = ("float32", "bfloat16", "float16")
RECIPES = ("none", "light", "cifar", "imagenet")
AUGMENTS = (*RECIPES, *(f"{recipe}+randaugment" for recipe in RECIPES))

Optimiser = Annotated[
    str,
    option(
        "--optimizer",
        help="What changes the weights.",
        metavar="sgd|adamw",
        parse=choice("optimizer", OPTIMISERS),
        section=TRAINING,
    ),
]
Momentum = Annotated[
    float,
    option(
        "--momentum",
        help="Momentum of SGD, the first beta of AdamW.",
        metavar="M",
        parse=number(0, below=1),
        section=TRAINING,
    ),
]
WeightDecay = Annotated[
    float,
    option("--weight-decay", help="Weight decay.", metavar="D", parse=number(0), section=TRAINING),
]
Accumulate = Annotated[
    int,
    option(
        "--accumulate",
        help="Batches a step: their gradients are added up before the weights change.",
        metavar="N",
        parse=whole(1),
        section=TRAINING,
    ),
]
Clip = Annotated[
    float | None,
    option(
        "--clip",
        help="Scale the gradient down to this norm where it is longer.",
        metavar="NORM",
        parse=number(0, above=0),
        section=TRAINING,
    ),
]
Schedule = Annotated[
    str,
    option(
        "--schedule",
        help="How the learning rate goes over the epochs.",
        metavar="|".join(SCHEDULES),
        parse=choice("schedule", SCHEDULES),
        section=TRAINING,
    ),
]
Warmup = Annotated[
    int,
    option(
        "--warmup-epochs",
        help="Epochs in which the learning rate rises to its highest.",
        metavar="N",
        parse=whole(0),
        section=TRAINING,
    ),
]
Precision = Annotated[
    str,
    option(
        "--precision",
        help="What the forward pass computes in; less than float32 is mixed with it.",
        metavar="|".join(PRECISIONS),
        parse=choice("precision", PRECISIONS),
        section=TRAINING,
    ),
]
EmaDecay = Annotated[
    float | None,
    option(
        "--ema-decay",
        help="Judge and keep a moving average of the weights; D of it stays at each step.",
        metavar="D",
        parse=number(0, above=0, below=1),
        section=TRAINING,
    ),
]
Patience = Annotated[
    int | None,
    option(
        "--patience",
        help="Stop when the validation accuracy has not risen for N epochs.",
        metavar="N",
        parse=whole(1),
        section=TRAINING,
    ),
]
MinDelta = Annotated[
    float,
    option(
        "--min-delta",
        help="A rise of at most POINTS is none for --patience.",
        metavar="POINTS",
        parse=number(0),
        section=TRAINING,
    ),
]
Augment = Annotated[
    str,
    option(
        "--augment",
        help="How training images are varied: none, light, cifar or imagenet, each also with +randaugment.",
        metavar="RECIPE",
        parse=choice("augment", AUGMENTS),
        section=TRAINING,
    ),
]
Mixup = Annotated[
    float,
    option("--mixup", help="Alpha of MixUp; 0 for none.", metavar="A", parse=number(0), section=TRAINING),
]
Cutmix = Annotated[
    float,
    option("--cutmix", help="Alpha of CutMix; 0 for none.", metavar="A", parse=number(0), section=TRAINING),
]
LabelSmoothing = Annotated[
    float,
    option(
        "--label-smoothing",
        help="Share of the label that is spread over all classes.",
        metavar="S",
        parse=number(0, below=1),
        section=TRAINING,
    ),
]
Freeze = Annotated[
    list[str] | None,
    option(
        "--freeze",
        help="Leave the modules whose name matches GLOB as they are; may be repeated.",
        metavar="GLOB",
        completion=layers,
        section=TRAINING,
    ),
]
Teacher = Annotated[
    str | None,
    option(
        "--teacher",
        help="Learn from the outputs of this checkpoint as well: the network before pruning.",
        metavar="CHECKPOINT",
        parse=streams.readable,
        section=TRAINING,
    ),
]
Distill = Annotated[
    float,
    option(
        "--distill-weight",
        help="Share of the teacher's soft labels in the loss.",
        metavar="W",
        parse=number(0, most=1),
        section=TRAINING,
    ),
]
Temperature = Annotated[
    float,
    option(
        "--temperature",
        help="Temperature of the soft labels.",
        metavar="T",
        parse=number(0, above=0),
        section=TRAINING,
    ),
]
Similarity = Annotated[
    float,
    option(
        "--similarity",
        help="Weight of the similarity-preserving loss against the teacher; 0 for none.",
        metavar="W",
        parse=number(0),
        section=TRAINING,
    ),
]
Recalibrate = Annotated[
    int | None,
    option(
        "--recalibrate",
        help="Batches on which batch norms are measured again after a cut; 0 for none. Unsaid: 10 where "
        "channels were removed.",
        metavar="N",
        parse=whole(0),
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
CheckpointEvery = Annotated[
    int | None,
    option(
        "--checkpoint-every",
        help="Keep where the run stands every N steps; it is kept anyway when the run is stopped.",
        metavar="N",
        parse=whole(1),
        section=RESULT,
    ),
]
CheckpointDir = Annotated[
    str | None,
    option(
        "--checkpoint-dir",
        help="Folder for the state of the run. Left out: OUTPUT.run.",
        metavar="FOLDER",
        section=RESULT,
    ),
]
Resume = Annotated[
    str | None,
    option(
        "--resume",
        help="Go on with the run whose state is in FOLDER; the other options are as they were.",
        metavar="FOLDER",
        environment=False,
        section=RESULT,
    ),
]
Log = Annotated[
    list[str] | None,
    option(
        "--log",
        help="Log the training: FILE.jsonl, tensorboard[:FOLDER] or mlflow[:URI]; may be repeated.",
        metavar="LOG",
        section=RESULT,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How weights are trained, whoever trains them."""

    optimiser: Optimiser = "sgd"
    lr: options.LearningRate = 0.01
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 5e-4
    batch_size: options.BatchSize = 128
    accumulate: Accumulate = 1
    clip: Clip = None
    schedule: Schedule = "cosine"
    warmup_epochs: Warmup = 0
    precision: Precision = "float32"
    ema_decay: EmaDecay = None
    augment: Augment = "none"
    mixup: Mixup = 0.0
    cutmix: Cutmix = 0.0
    label_smoothing: LabelSmoothing = 0.0

    def settings(self, **more: object) -> FitSettings:
        """The same as the workflows take it, with what only one command asks for."""
        from prunecli.training.settings import FitSettings

        return FitSettings(**{**asdict(self), **more})


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """What stays as it is, and how a teacher is heard."""

    freeze: Freeze = None
    distill_weight: Distill = 0.5
    temperature: Temperature = 4.0
    similarity: Similarity = 0.0

    def choices(self) -> Mapping[str, object]:
        """Arguments of the settings."""
        return {
            "freeze": tuple(self.freeze or ()),
            "distill": self.distill_weight,
            "temperature": self.temperature,
            "similarity": self.similarity,
        }


@dataclass(frozen=True, kw_only=True)
class Enduring:
    """When a training ends before its epochs do."""

    patience: Patience = None
    min_delta: MinDelta = 0.0


@dataclass(frozen=True, kw_only=True)
class Going:
    """Where a run keeps what it needs to go on."""

    checkpoint_every: CheckpointEvery = None
    checkpoint_dir: CheckpointDir = None
    resume: Resume = None
