"""What a report is made of: sections of a few kinds of blocks, the same for every command and format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from prunecli.reports.cells import Cell

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    kind: ClassVar[str] = "words"
    text: str


@dataclass(frozen=True)
class Remarks:
    """Sentences that each stand for themselves."""

    kind: ClassVar[str] = "remarks"
    lines: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Names and what they stand for."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, Cell]]


@dataclass(frozen=True)
class Command:
    """A command line, or lines in another `language`, to be typed again as they stand."""

    kind: ClassVar[str] = "command"
    line: str
    language: str = "sh"


@dataclass(frozen=True)
class Column:
    """A column: numbers stand to the right, what is typed as it stands (names) in a fixed width."""

    title: str
    numeric: bool = False
    typed: bool = False
    sortable: bool = True


def numeric(title: str) -> Column:
    """A column of numbers."""
    return Column(title, numeric=True)


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column names the row."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Picture:
    """A figure, drawn only where the format shows pictures; what it shows also stands in words and tables."""

    kind: ClassVar[str] = "picture"
    alternative: str
    draw: Callable[[], Figure | str]
    """Gives a figure of matplotlib, or SVG as it stands."""


@dataclass(frozen=True)
class Fold:
    """Blocks that are open on demand."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence[Block]


Block = Words | Remarks | Facts | Command | Table | Picture | Fold


@dataclass(frozen=True)
class Section:
    """A titled part of a report, reached by its anchor."""

    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Given:
    """What a report is made from: the command's document, its line as typed, and facts of where it ran."""

    document: Document
    command: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """How a section comes about; left out where the document lacks its key, or where it has no blocks."""

    anchor: str
    title: str
    blocks: Callable[[Given], Sequence[Block]]
    key: str | None = None

    def section(self, given: Given) -> Section | None:
        """The section, None where there is nothing to say."""
        if self.key is not None and given.document.get(self.key) is None:
            return None
        blocks = self.blocks(given)
        return Section(self.anchor, self.title, blocks) if blocks else None
