"""Write docs/criteria.md, and the table of the README, from the criteria themselves.

    python docs/write_criteria.py

`tests/docs/test_criteria_page.py` fails when they are not what this writes.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

from prunecli.criteria.contract import CRITERIA, Criterion, Needs

PAGE = Path(__file__).with_name("criteria.md")
README = PAGE.parents[1] / "README.md"
HEAD = """# Criteria

Written by `docs/write_criteria.py` from the criteria themselves; do not edit it by hand.

Every score means: higher = keep. F filters of K weights each, n calibration images, P positions of a
feature map; a is a layer's feature map (behind its own batch norm and activation function), g the gradient
of the loss there, L_b the loss of image b. A criterion that a layer cannot have, for want of a batch norm,
a rectifier or a reader, is *not available* there; no other takes its place. Criteria are asked for by name,
with options as `entropy(bins=100)`, or as the mean, least or greatest rank of several:
`ens(l1,taylor_act)`, `ens(l1,apoz,how=min)`.

*Images* says whether the network is run on calibration images (`--data`, `--batches`, `--batch-size`); *own
passes* means that many of them are needed.
"""
OWN_PASSES = Needs.HESSIAN_PRODUCT | Needs.MOVEMENT | Needs.GATE_PATH | Needs.ABLATION


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_table(), *_families()])


def readme(text: str) -> str:
    """The README with the rows of its table of criteria written anew."""
    head, start, rest = text.partition("| name | score of a filter | source |\n|---|---|---|\n")
    _, end, after = rest.partition("\n\n")
    rows = (
        f"| `{name}` | {_cell(CRITERIA[name].caption)} | {_cell(CRITERIA[name].source)} |"
        for name in sorted(CRITERIA)
    )
    return head + start + "\n".join(rows) + end + after


def images(member: Criterion) -> str:
    """In words, what running it takes."""
    if member.needs & OWN_PASSES:
        return "own passes"
    return "yes" if member.needs_data else "no"


def _table() -> Iterator[str]:
    yield "| name | what it is | images | source |"
    yield "|---|---|---|---|"
    for name in sorted(CRITERIA):
        member = CRITERIA[name]
        yield f"| [`{name}`](#{name}) | {_cell(member.caption)} | {images(member)} | {_cell(member.source)} |"
    yield ""


def _cell(text: str) -> str:
    return text.rstrip(".").replace("|", "\\|")


def _families() -> Iterator[str]:
    by_module: dict[str, list[Criterion]] = {}
    for member in CRITERIA.values():
        by_module.setdefault(member.function.__module__, []).append(member)
    for module in sorted(by_module):
        caption = (inspect.getdoc(importlib.import_module(module)) or "").partition("\n")[0]
        yield f"## {caption.rstrip('.')}"
        yield ""
        for member in by_module[module]:
            yield from _one(member)


def _one(member: Criterion) -> Iterator[str]:
    _, _, rest = (inspect.getdoc(member.function) or "").partition("\n")
    yield f"### {member.name}"
    yield ""
    yield member.caption
    yield ""
    for paragraph in rest.strip().split("\n\n"):
        yield _paragraph(paragraph)
        yield ""
    reads = ", ".join(need.attribute.replace("_", " ") for need in member.needs.parts())
    defaults = ", ".join(f"`{option}={value}`" for option, value in member.options.items())
    yield f"Reads: {reads}." + (f" Options: {defaults}." if defaults else "")
    yield ""


def _paragraph(text: str) -> str:
    """Formulas as code, with what they call their parts; prose as it stands."""
    lines = text.splitlines()
    formula = "score_f" in text or any(line.startswith(" ") for line in lines)
    return "\n".join(["```text", *lines, "```"]) if formula else text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
