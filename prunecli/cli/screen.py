"""Tables on a terminal, drawn by rich: coloured where colour is wanted, folded to the width."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from prunecli.cli import streams
from prunecli.cli.tables import Page, Table

_UNBOUNDED = 100_000


def drawn(page: Page, stream: TextIO | None) -> str:
    """`page` as `stream` should get it; without a terminal (FORCE_COLOR in a pipe) nothing is folded."""
    paper = io.StringIO()
    console = Console(
        file=paper,
        width=streams.width(stream) or _UNBOUNDED,
        force_terminal=True,
        force_interactive=False,
        color_system="standard" if streams.coloured(stream) else None,
        legacy_windows=False,
    )
    for index, table in enumerate(_fitting(page, console.width)):
        if index:
            console.print()
        if table.title:
            console.print(Text(table.title, style="bold"))
        console.print(_rich(table))
    return "\n".join(line.rstrip() for line in paper.getvalue().splitlines()) + "\n"


def _fitting(page: Page, width: int) -> Iterator[Table]:
    """The tables that have rows; without what is drawn where that would make them fold."""
    return (table if table.width <= width else table.plain() for table in page if table.rows)


def _rich(table: Table) -> RichTable:
    grid = RichTable(box=SIMPLE_HEAD if table.header else None, show_header=table.header, pad_edge=False)
    for column in table.columns:
        grid.add_column(
            Text(column.title),
            justify="right" if column.right else "left",
            overflow="fold",
            no_wrap=column.right,
            header_style="bold",
        )
    for row in table.shown():
        grid.add_row(*(Text(cell) for cell in row))
    return grid
