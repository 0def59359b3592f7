"""Write the tables of strategies in docs/strategies.md and in the README from the strategies themselves.

    python docs/write_strategies.py

`tests/docs/test_strategies.py` fails when they are not what this writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prunecli.strategies.contract import STRATEGIES

PAGE = Path(__file__).with_name("strategies.md")
README = PAGE.parents[1] / "README.md"
PARTS = "| strategy | schedule | hardness | trigger | recovery |\n|---|---|---|---|---|\n"
CAPTIONS = "| name | what it does | source |\n|---|---|---|\n"


def page(text: str) -> str:
    """docs/strategies.md with the rows of its table of parts written anew."""
    rows = []
    for name in sorted(STRATEGIES):
        parts = STRATEGIES[name].parts
        if parts is not None:
            rows.append(_row(f"`{name}`", *parts.document().values()))
    return _replaced(text, PARTS, rows)


def readme(text: str) -> str:
    """The README with the rows of its table of strategies written anew."""
    found = sorted(STRATEGIES.items())
    rows = [_row(f"`{name}`", each.caption.rstrip("."), each.source) for name, each in found]
    return _replaced(text, CAPTIONS, rows)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _replaced(text: str, header: str, rows: Iterable[str]) -> str:
    head, start, rest = text.partition(header)
    _, end, after = rest.partition("\n\n")
    return head + start + "\n".join(rows) + end + after


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
