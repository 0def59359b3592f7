"""The options that only `bench` has, and the checkpoints that it takes side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated

from prunecli.cli import options, streams
from prunecli.cli.names import choice
from prunecli.cli.option import MEASURING, RESULT, TRAINING, argument, option
from prunecli.cli.values import Names, Unfit, number, whole
from prunecli.latency.backends import BACKENDS, ONNX

if TYPE_CHECKING:
    from prunecli.workflows.opening import Opening

DTYPES = ("fp32", "fp16", "bf16")


class Wholes(tuple[int, ...]):
    """Several whole numbers given as one value, such as 1,16."""

    __slots__ = ()


def wholes(at_least: int, *, example: str) -> Callable[[str], Wholes]:
    """A parser of whole numbers with commas between them."""

    def parse(text: str) -> Wholes:
        try:
            return Wholes(whole(at_least)(part.strip()) for part in text.split(","))
        except Unfit:
            raise Unfit(
                f"whole numbers from {at_least} on with commas between them", example=example
            ) from None

    return parse


def _backends(text: str) -> Names:
    known = choice("backend", tuple(BACKENDS))
    return Names(known(part.strip()) for part in text.split(","))


Checkpoints = Annotated[
    list[str] | None,
    argument(
        "CHECKPOINT",
        help="Checkpoint files, timed side by side against the first; - for standard input, .onnx files for "
        "onnxruntime. Left out: `checkpoint` of [tool.prunecli], else the sample model.",
        parse=streams.readable,
        environment=True,
    ),
]
Backends = Annotated[
    list[Names] | None,
    option(
        "--backend",
        "--backends",
        help="What runs the networks, with commas between them or repeated. Unsaid: eager.",
        metavar=",".join(BACKENDS),
        parse=_backends,
        section=MEASURING,
    ),
]
Threads = Annotated[
    list[Wholes] | None,
    option(
        "--threads",
        help="Threads of the processor, with commas between them. Unsaid: as many as torch takes.",
        metavar="N,N",
        parse=wholes(1, example="1,2,4"),
        section=MEASURING,
    ),
]
BatchSizes = Annotated[
    list[Wholes] | None,
    option(
        "--batch-size",
        help="Inputs at once, with commas between them. Unsaid: 1.",
        metavar="N,N",
        parse=wholes(1, example="1,16"),
        section=TRAINING,
    ),
]
Dtype = Annotated[
    str | None,
    option(
        "--dtype",
        help="Turn weights and inputs into this type. Unsaid: as the file has them.",
        metavar="|".join(DTYPES),
        parse=choice("type", DTYPES),
        section=RESULT,
    ),
]
Seconds = Annotated[
    float,
    option(
        "--seconds",
        help="The longest that a setting is timed; it ends earlier when ratios are known within 1 %.",
        metavar="S",
        parse=number(0, above=0),
        section=MEASURING,
    ),
]
Rounds = Annotated[
    int | None,
    option(
        "--rounds",
        help="Exactly so many rounds of a setting, however long they take.",
        metavar="N",
        parse=whole(1),
        section=MEASURING,
    ),
]
Memory = Annotated[
    bool,
    option(
        "--memory/--no-memory",
        help="Measure each network's peak memory, in a process of its own.",
        section=MEASURING,
    ),
]
KeepMemory = Annotated[
    bool,
    option(
        "--keep-memory/--no-keep-memory",
        help="Keep freed memory from call to call, as servers with another allocator do.",
        section=MEASURING,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """Which models: several checkpoints, and what is said of all of them."""

    checkpoint: Checkpoints = None
    arch: options.Arch = None
    model: options.Model = None
    input_shape: options.InputShape = None
    trust_pickle: options.TrustPickle = None
    ema: options.Ema = False
    device: options.Device = "cpu"

    def usual_backends(self) -> tuple[str, ...]:
        """What runs them where nothing is said: onnxruntime for its own files, else torch as it is."""
        paths = self.checkpoint or []
        return (ONNX,) if paths and all(path.endswith(".onnx") for path in paths) else ("eager",)

    def openings(self) -> list[Opening]:
        """The same as the workflow takes them; without a checkpoint the sample's."""
        from prunecli.workflows.opening import Opening

        given = {each.name: getattr(self, each.name) for each in fields(self)}
        given["input_shape"] = None if self.input_shape is None else tuple(self.input_shape)
        paths: list[str | None] = [*self.checkpoint] if self.checkpoint else [None]
        return [Opening(**{**given, "checkpoint": path}) for path in paths]
