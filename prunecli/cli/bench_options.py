"""The options that only `bench` has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from prunecli.cli.names import choice
from prunecli.cli.option import MEASURING, MODEL, RESULT, TRAINING, option
from prunecli.cli.values import Names, Unfit, number, whole
from prunecli.latency.backends import BACKENDS, ONNX

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
        section=MODEL,
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


def usual_backends(paths: Sequence[str]) -> tuple[str, ...]:
    """What runs files where nothing is said: onnxruntime for its own, else torch as it is."""
    return (ONNX,) if paths and all(path.endswith(".onnx") for path in paths) else ("eager",)
