"""A report as Markdown: the same sections, tables and facts, without the pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from prunecli.reports.cells import shown
from prunecli.reports.sections import Column, Command, Facts, Fold, Picture, Remarks, Table, Words

if TYPE_CHECKING:
    from prunecli.reports.building import Report
    from prunecli.reports.cells import Cell
    from prunecli.reports.sections import Block

# What Markdown or HTML could take for a mark. An underscore inside a word is none.
_MARKS = re.compile(r"[\\`*\[\]|#~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def render(report: Report) -> str:
    """The whole report, ending in a line end."""
    lines = [f"# {escaped(report.title)}", ""]
    for section in report.sections:
        lines += [f"## {escaped(section.title)}", ""]
        for block in section.blocks:
            lines += _lines(block)
    return "\n".join(lines).rstrip("\n") + "\n"


def escaped(text: str) -> str:
    """`text` on one line, so that Markdown shows it as it is."""
    one_line = " ".join(text.split("\n"))
    for character, entity in _ENTITIES.items():
        one_line = one_line.replace(character, entity)
    return _MARKS.sub(lambda mark: f"\\{mark[0]}", one_line)


def _lines(block: Block) -> Iterator[str]:
    """The lines of a block and an empty one."""
    if isinstance(block, Picture):
        return
    if isinstance(block, Fold):
        for inner in block.blocks:
            yield from _lines(inner)
        return
    yield from _plain_lines(block)
    yield ""


def _plain_lines(block: Words | Remarks | Facts | Command | Table) -> Iterator[str]:
    if isinstance(block, Words):
        yield escaped(block.text)
    elif isinstance(block, Remarks):
        yield from (f"- {escaped(line)}" for line in block.lines)
    elif isinstance(block, Facts):
        yield from _table((Column("what"), Column("value")), block.rows)
    elif isinstance(block, Command):
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.line)), default=0))
        yield from (f"{fence}{block.language}", block.line, fence)
    else:
        yield from (f"**{escaped(block.caption)}**", "")
        yield from _table(block.columns, block.rows)


def _table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    yield _row(escaped(column.title) for column in columns)
    yield _row("--:" if column.numeric else "---" for column in columns)
    for row in rows:
        yield _row(escaped(shown(cell).text) for cell in row)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
