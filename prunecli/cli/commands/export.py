"""prunecli export."""

from __future__ import annotations

from typing import Annotated

from prunecli.cli import options
from prunecli.cli.gathering import Manner, Subject, Target
from prunecli.cli.names import choice, completion, name
from prunecli.cli.option import RESULT, option
from prunecli.cli.pages import export as pages
from prunecli.cli.presenting import present
from prunecli.cli.values import whole

EXAMPLES = """
prunecli export small.safetensors --to onnx -o small.onnx
prunecli export small.safetensors --to pt2 --fuse -o small.pt2
prunecli export small.safetensors --to python -o model.py
prunecli export small.safetensors --to onnx --weights int8 --data digits -o small.onnx --force
"""

DTYPES = ("fp32", "fp16", "bf16")

To = Annotated[
    str,
    option(
        "--to",
        help="The form to write; see `catalog exporters`.",
        metavar="NAME",
        parse=name("exporters"),
        completion=completion("exporters"),
        section=RESULT,
    ),
]
Opset = Annotated[
    int | None,
    option(
        "--opset",
        help="ONNX operator set; the exporter's own when left out.",
        metavar="N",
        parse=whole(1),
        section=RESULT,
    ),
]
Dtype = Annotated[
    str | None,
    option(
        "--dtype",
        help="Type of the weights and of what is computed; the checkpoint's own when left out.",
        metavar="|".join(DTYPES),
        parse=choice("type", DTYPES),
        section=RESULT,
    ),
]
Weights = Annotated[
    str | None,
    option(
        "--weights",
        help="Keep the weights as eight-bit integers (ONNX).",
        metavar="int8",
        parse=choice("kind of weights", ("int8",)),
        section=RESULT,
    ),
]
Fuse = Annotated[
    bool,
    option(
        "--fuse",
        help="Fold batch norms into the convolutions and linear layers before them.",
        section=RESULT,
    ),
]


def export(
    subject: Subject,
    *,
    target: Target,
    manner: Manner,
    to: To = "onnx",
    opset: Opset = None,
    dtype: Dtype = None,
    weights: Weights = None,
    fuse: Fuse = False,
    data: options.Data = None,
) -> None:
    """Write a checkpoint for another runtime, and check it against the original there."""
    from prunecli.workflows.export import export as work

    present(
        "export",
        lambda progress: work(
            subject.opening(),
            to=to,
            opset=opset,
            dtype=dtype,
            weights=weights,
            fuse=fuse,
            data=data,
            output=target.output,
            force=target.force,
            progress=progress,
        ),
        pages=pages,
        manner=manner,
        following=pages.following,
        destination=target.output,
    )
