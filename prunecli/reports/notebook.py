"""How results show themselves in a notebook: the tables of their report, as HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, ClassVar

from prunecli.documents import complete
from prunecli.reports.cells import Cell, printable, shown
from prunecli.reports.sections import (
    Block,
    Column,
    Command,
    Document,
    Facts,
    Fold,
    Remarks,
    Section,
    Table,
    Words,
    numeric,
)

MOST_ROWS = 200
"""Of longer tables a notebook gets so many rows, and a word on the rest."""
_ELSEWHERE = ("environment", "repeat")
_NUMBER = ' style="text-align:right"'


class ShownInNotebooks:
    """A result that a notebook shows as tables; `command` is the one whose document it has."""

    _command: ClassVar[str]

    def __init_subclass__(cls, *, command: str | None = None, **more: Any) -> None:
        super().__init_subclass__(**more)
        if command is not None:
            cls._command = command

    def document(self) -> dict[str, Any]:
        """The result as JSON values."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """What Jupyter asks for."""
        return as_html(complete(self._command, self.document()))


def as_html(document: Document) -> str:
    """The sections of a complete document without pictures, every string escaped."""
    from prunecli.reports.building import PARTS, build_report  # loads what draws

    kind = str(document["schema"]).removeprefix("prunecli.").partition("/")[0]
    if kind in PARTS:
        report = build_report(document, command="", facts={})
        title, sections = report.title, report.sections
    else:
        title, sections = f"prunecli {kind}", (Section("figures", "", [*_plain(printable(document))]),)
    lines = [f"<h3>{escape(title)}</h3>"]
    for section in sections:
        if section.anchor not in _ELSEWHERE:
            lines += [f"<h4>{escape(section.title)}</h4>"] if section.title else []
            lines += _html(section.blocks)
    return f"<div>{''.join(lines)}</div>"


def _plain(document: Document) -> Iterator[Block]:
    """Values as facts and lists of records as tables, for a document without a report."""
    left = {key: value for key, value in document.items() if key not in {"schema", "version"}}
    facts: list[tuple[str, Cell]] = []
    tables: list[Table] = []
    for key, value in left.items():
        if isinstance(value, Mapping):
            facts += [(f"{key} {name}", each) for name, each in value.items() if _is_cell(each)]
        elif _is_cell(value):
            facts.append((key, value))
        elif value and all(isinstance(each, Mapping) for each in value):
            tables.append(_records(key, value))
    yield Facts(facts)
    yield from tables


def _records(caption: str, records: Sequence[Mapping[str, Any]]) -> Table:
    names = [name for name, value in records[0].items() if _is_cell(value)]
    columns = [
        numeric(name) if isinstance(records[0][name], (int, float)) else Column(name) for name in names
    ]
    return Table(caption, columns, [[_cell(record.get(name)) for name in names] for record in records])


def _is_cell(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _cell(value: Any) -> Cell:
    return value if _is_cell(value) else str(value)


def _html(blocks: Iterable[Block]) -> Iterator[str]:
    return (_FORMS[block.kind](block) for block in blocks if block.kind in _FORMS)


def _fold(block: Fold) -> str:
    return f"<details><summary>{escape(block.title)}</summary>{''.join(_html(block.blocks))}</details>"


def _remarks(block: Remarks) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in block.lines)}</ul>"


def _facts(block: Facts) -> str:
    rows = (f"<tr><th>{escape(name)}</th>{_data(value, Column(name))}</tr>" for name, value in block.rows)
    return f"<table>{''.join(rows)}</table>"


def _table(table: Table) -> str:
    heads = (f"<th{_NUMBER if each.numeric else ''}>{escape(each.title)}</th>" for each in table.columns)
    rows = (
        f"<tr>{''.join(_data(cell, column) for cell, column in zip(row, table.columns, strict=True))}</tr>"
        for row in table.rows[:MOST_ROWS]
    )
    more = len(table.rows) - MOST_ROWS
    rest = f"<p>and {more} more rows</p>" if more > 0 else ""
    head = f"<caption>{escape(table.caption)}</caption><thead><tr>{''.join(heads)}</tr></thead>"
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>{rest}"


def _data(cell: Cell, column: Column) -> str:
    found = shown(cell)
    exact = f' title="{escape(found.exact)}"' if found.exact is not None else ""
    return f"<td{_NUMBER if column.numeric else ''}{exact}>{escape(found.text)}</td>"


_FORMS: Mapping[str, Callable[[Any], str]] = {
    Words.kind: lambda block: f"<p>{escape(block.text)}</p>",
    Command.kind: lambda block: f"<pre>{escape(block.line)}</pre>",
    Remarks.kind: _remarks,
    Facts.kind: _facts,
    Fold.kind: _fold,
    Table.kind: _table,
}
"""How each kind of block is written; pictures are left out."""
