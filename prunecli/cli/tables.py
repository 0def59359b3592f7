"""A table as data, and its three written forms: aligned text, Markdown, CSV.

No form cuts or folds a value; folding is for the screen (`screen.py`) alone.
"""

from __future__ import annotations

import csv
import io
import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prunecli.cli import figures
from prunecli.cli.streams import printable


@dataclass(frozen=True)
class Column:
    """One column: its title, how a value is written for people, and on which side it is aligned.

    One that is `on_screen` draws what other columns say in numbers, and is left out elsewhere.
    """

    title: str
    show: Callable[[Any], str] = figures.text
    right: bool = False
    on_screen: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of raw values; `header=False` for a list of facts."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    title: str = ""
    header: bool = True

    def shown(self) -> list[list[str]]:
        """The rows as people read them, free of control characters."""
        return [
            [printable(column.show(value)) for column, value in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]

    def plain(self) -> Table:
        """The same without what is drawn."""
        kept = [place for place, column in enumerate(self.columns) if not column.on_screen]
        rows = tuple(tuple(row[place] for place in kept) for row in self.rows)
        return replace(self, columns=tuple(self.columns[place] for place in kept), rows=rows)

    @property
    def width(self) -> int:
        """Columns that the table takes where nothing is folded."""
        titles = [[column.title for column in self.columns]] if self.header else []
        widths = [max(map(_width, cells)) for cells in zip(*titles, *self.shown(), strict=True)]
        return sum(widths) + 3 * len(widths)


Page = Sequence[Table]


def name(title: str) -> Column:
    """A column of names."""
    return Column(title)


def number(title: str, show: Callable[[Any], str] = figures.text) -> Column:
    """A column of numbers, aligned on the right."""
    return Column(title, show=show, right=True)


def bar(title: str) -> Column:
    """A column that draws a share of one as a bar."""
    return Column(title, show=figures.bar, on_screen=True)


def facts(rows: Sequence[tuple[str, str | None]], *, title: str = "") -> Table:
    """A list of facts without a header; rows whose value is None are left out."""
    kept = tuple(row for row in rows if row[1] is not None)
    return Table(columns=(Column("fact"), Column("value")), rows=kept, title=title, header=False)


def as_text(page: Page) -> str:
    """Aligned plain text with two spaces between columns and an empty line between tables."""
    return "\n".join(_text(table.plain()) for table in page if table.rows)


def as_markdown(page: Page) -> str:
    """Markdown tables under their titles."""
    return "\n".join(_markdown(table.plain()) for table in page if table.rows)


def as_csv(table: Table) -> str:
    """One rectangular table with raw values in full precision; undefined values are empty."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(column.title for column in table.columns)
    writer.writerows([_raw(value) for value in row] for row in table.rows)
    return target.getvalue()


def _text(table: Table) -> str:
    rows = table.shown()
    titles = [column.title for column in table.columns]
    lines = [titles, *rows] if table.header else rows
    widths = [max(_width(line[index]) for line in lines) for index in range(len(titles))]
    if table.header:
        lines.insert(1, ["-" * width for width in widths])
    written = [table.title] if table.title else []
    for line in lines:
        cells = [
            " " * (width - _width(cell)) + cell if column.right else cell + " " * (width - _width(cell))
            for cell, width, column in zip(line, widths, table.columns, strict=True)
        ]
        written.append("  ".join(cells).rstrip())
    return "\n".join(written) + "\n"


def _markdown(table: Table) -> str:
    titles = [column.title for column in table.columns]
    lines = [f"### {table.title}", ""] if table.title else []
    lines.append(_markdown_row(titles if table.header else [""] * len(titles)))
    lines.append("|" + "|".join(" ---: " if column.right else " --- " for column in table.columns) + "|")
    lines.extend(_markdown_row(row) for row in table.shown())
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|") for cell in cells) + " |"


def _raw(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return " ".join(str(item) for item in value)
    return value


def _width(text: str) -> int:
    """Columns that `text` takes: East Asian characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )
