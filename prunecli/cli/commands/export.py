"""prunecli export."""

from __future__ import annotations

from typing import Annotated

from prunecli.cli import options
from prunecli.cli.gathering import Manner, Subject, Target
from prunecli.cli.names import completion, name
from prunecli.cli.option import RESULT, option
from prunecli.cli.pages import export as pages
from prunecli.cli.presenting import present
from prunecli.cli.values import whole

EXAMPLES = """
prunecli export small.safetensors --to onnx -o small.onnx
prunecli export small.safetensors --to safetensors -o weights.safetensors --force
"""

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


def export(
    subject: Subject,
    *,
    target: Target,
    manner: Manner,
    to: To = "onnx",
    opset: Opset = None,
    data: options.Data = None,
) -> None:
    """Write a checkpoint for another runtime, and check it against the original there."""
    from prunecli.workflows.export import export as work

    present(
        "export",
        lambda _: work(
            subject.opening(), to=to, opset=opset, data=data, output=target.output, force=target.force
        ),
        pages=pages,
        manner=manner,
        destination=target.output,
    )
