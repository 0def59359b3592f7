"""Every option that more than one command has, defined once: same meaning, same name everywhere."""

from __future__ import annotations

from typing import Annotated

from prunecli.cli import streams, values
from prunecli.cli.layer_names import layers_with_ratio
from prunecli.cli.names import architectures, choice, completion, criteria, criterion, name
from prunecli.cli.option import DATA, MODEL, PRUNING, RESULT, TRAINING, argument, option
from prunecli.cli.values import LayerRatio, Names, Numbers, Shape

FORMATS = ("table", "json", "csv", "md")
_CRITERION = ("--criterion", "--criteria")

Checkpoint = Annotated[
    str | None,
    argument(
        "CHECKPOINT",
        help="A checkpoint file, or - for standard input. Left out: `checkpoint` of [tool.prunecli], else "
        "the sample model that ships with the package.",
        parse=streams.readable,
        environment=True,
    ),
]
Checkpoints = Annotated[
    list[str] | None,
    argument(
        "CHECKPOINT",
        help="Checkpoint files, side by side; - for standard input. `bench` takes .onnx files too. Left out: "
        "`checkpoint` of [tool.prunecli], else the sample model.",
        parse=streams.readable,
        environment=True,
    ),
]
Arch = Annotated[
    str | None,
    option(
        "--arch",
        help="Architecture of the checkpoint, when it is not recognised.",
        metavar="NAME",
        completion=architectures,
        section=MODEL,
    ),
]
Model = Annotated[
    str | None,
    option(
        "--model",
        help="Build the network with a function of a Python file; the file is run.",
        metavar="FILE.py:FUNCTION",
        parse=values.factory,
        section=MODEL,
    ),
]
InputShape = Annotated[
    Shape | None,
    option(
        "--input-shape",
        help="Shape of one input without the batch, such as 3x32x32.",
        metavar="CxHxW",
        parse=values.shape,
        section=MODEL,
    ),
]
TrustPickle = Annotated[
    str | None,
    option(
        "--trust-pickle",
        help="Run the code in the checkpoint whose own SHA-256 this is.",
        metavar="SHA256",
        parse=values.sha256,
        environment=False,
        section=MODEL,
    ),
]
Ema = Annotated[
    bool, option("--ema/--no-ema", help="Take the averaged weights of a training checkpoint.", section=MODEL)
]
Device = Annotated[
    str,
    option(
        "--device", help="cpu, cuda, cuda:N or mps.", metavar="DEVICE", parse=values.device, section=MODEL
    ),
]
Threads = Annotated[
    int | None,
    option(
        "--threads",
        help="Threads of the processor that compute. Unsaid: as many as torch takes.",
        metavar="N",
        parse=values.whole(1),
        section=MODEL,
    ),
]
Mean = Annotated[
    Numbers | None,
    option(
        "--mean",
        help="Channel means that the network was trained with, on the 0 to 1 scale.",
        metavar="M,M,M",
        parse=values.numbers,
        section=DATA,
    ),
]
Std = Annotated[
    Numbers | None,
    option(
        "--std",
        help="Channel deviations that the network was trained with, on the 0 to 1 scale.",
        metavar="S,S,S",
        parse=values.positive_numbers,
        section=DATA,
    ),
]
Data = Annotated[
    str | None,
    option(
        "--data",
        help="A name of `catalog data`, a folder, NAME:… as it says, or FILE.py:FUNCTION. Left out: the "
        "sample's digits.",
        metavar="SPEC",
        completion=completion("data"),
        section=DATA,
    ),
]
SkipBadImages = Annotated[
    bool,
    option(
        "--skip-bad-images",
        help="Leave out images that cannot be read, up to one in a hundred, and say which.",
        section=DATA,
    ),
]
Seed = Annotated[
    int,
    option(
        "--seed", help="Seed of every random choice.", metavar="N", parse=values.whole(0), section=PRUNING
    ),
]
Criterion = Annotated[
    str,
    option(
        *_CRITERION,
        help="What makes a filter matter; see `catalog criteria`.",
        metavar="NAME",
        parse=criterion,
        completion=completion("criteria"),
        section=PRUNING,
    ),
]
StrategyCriterion = Annotated[
    str | None,
    option(
        *_CRITERION,
        help="What makes a filter matter; see `catalog criteria`. Unsaid: l2, or the strategy's own.",
        metavar="NAME",
        parse=criterion,
        completion=completion("criteria"),
        section=PRUNING,
    ),
]
_CRITERIA = option(
    *_CRITERION,
    help="What makes a filter matter: names with commas between them, `name(option=value)`, "
    "`ens(name,name)`; see `catalog criteria`.",
    metavar="NAME,NAME",
    parse=criteria,
    completion=completion("criteria"),
    section=PRUNING,
)
Criteria = Annotated[list[Names], _CRITERIA]
CriteriaOrSaved = Annotated[list[Names] | None, _CRITERIA]
Ratio = Annotated[
    float | None,
    option(
        "--ratio",
        help="Fraction of channels to remove, 0 < R < 1: floor(R * N) of each group of N.",
        metavar="R",
        parse=values.ratio,
        section=PRUNING,
    ),
]
Ratios = Annotated[
    list[Numbers],
    option(
        "--ratio",
        help="Fractions of channels to remove, 0 < R < 1, with commas between them.",
        metavar="R,R",
        parse=values.ratios,
        section=PRUNING,
    ),
]
Strategy = Annotated[
    str,
    option(
        "--strategy",
        help="The procedure over time; see `catalog strategies`.",
        metavar="NAME",
        parse=name("strategies"),
        completion=completion("strategies"),
        section=PRUNING,
    ),
]
Scope = Annotated[
    str,
    option(
        "--scope",
        help="Remove the share in each group (local) or over all groups together (global).",
        metavar="local|global",
        parse=choice("scope", ("local", "global")),
        section=PRUNING,
    ),
]
LayerRatios = Annotated[
    list[LayerRatio] | None,
    option(
        "--layer-ratio",
        help="Another ratio for the layers whose name matches GLOB; may be repeated.",
        metavar="GLOB=R",
        parse=values.layer_ratio,
        completion=layers_with_ratio,
        section=PRUNING,
    ),
]
_LR = option(
    "--lr",
    help="Highest learning rate.",
    metavar="RATE",
    parse=values.number(0, above=0),
    section=TRAINING,
)
_EPOCHS = option(
    "--epochs", help="Passes over the data.", metavar="N", parse=values.whole(0), section=TRAINING
)
_BATCH_SIZE = option(
    "--batch-size", help="Images in a batch.", metavar="N", parse=values.whole(1), section=TRAINING
)
Batches = Annotated[
    int,
    option(
        "--batches",
        help="Batches of training images on which criteria look at the network at work.",
        metavar="N",
        parse=values.whole(1),
        section=DATA,
    ),
]
Scores = Annotated[
    str | None,
    option(
        "--scores",
        help="Take saved scores instead of computing them; refused when they are of other weights or images.",
        metavar="FILE",
        section=PRUNING,
    ),
]
LearningRate = Annotated[float, _LR]
Epochs = Annotated[int, _EPOCHS]
BatchSize = Annotated[int, _BATCH_SIZE]
StrategyEpochs = Annotated[int | None, _EPOCHS]
Output = Annotated[
    str | None,
    option(
        "--output",
        "-o",
        help="File to write, or - for standard output (the result then goes to standard error).",
        metavar="FILE",
        parse=streams.writable,
        section=RESULT,
    ),
]
Plot = Annotated[
    str | None,
    option(
        "--plot",
        help="Draw the result: FILE.png, .svg or .pdf.",
        metavar="FILE",
        parse=streams.file_name,
        section=RESULT,
    ),
]
Report = Annotated[
    str | None,
    option(
        "--report",
        help="A report to keep: FILE.html, .md or .json.",
        metavar="FILE",
        parse=streams.file_name,
        section=RESULT,
    ),
]
Card = Annotated[
    str | None,
    option(
        "--card",
        help="A model card for a hub, with front matter: FILE.md, usually README.md.",
        metavar="FILE.md",
        parse=streams.file_name,
        section=RESULT,
    ),
]
BaseModel = Annotated[
    str | None,
    option(
        "--base-model",
        help="Name on the hub of the network that this one comes from, for --card.",
        metavar="OWNER/NAME",
        parse=values.hub_name,
        section=RESULT,
    ),
]
Stream = Annotated[
    bool | None,
    option(
        "--stream/--no-stream",
        help="Read the network from the disk tensor by tensor, or hold it in memory. Unsaid: what the memory "
        "allows.",
        section=MODEL,
    ),
]
Force = Annotated[bool, option("--force", help="Replace an existing output file.", section=RESULT)]
Format = Annotated[
    str,
    option(
        "--format",
        help="How the result is written; a table may change, JSON may not.",
        metavar="table|json|csv|md",
        parse=choice("format", FORMATS),
        section=RESULT,
    ),
]
Json = Annotated[bool, option("--json", help="The same as --format json.", section=RESULT)]
Quiet = Annotated[
    bool,
    option(
        "--quiet",
        "-q",
        help="No notes, no progress; of the result only the path of the file written, unless --format "
        "asks for more.",
        section=RESULT,
    ),
]
Verbose = Annotated[
    bool, option("--verbose", "-v", help="A traceback when something fails, and warnings.", section=RESULT)
]
