"""What stands in a Markdown page: its fenced blocks, tables and links."""

from __future__ import annotations

import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the heading it stands under."""

    language: str
    text: str
    heading: str


def blocks(path: Path, language: str) -> list[Block]:
    """The fenced blocks of one language, in order."""
    found: list[Block] = []
    lines: list[str] = []
    heading = ""
    inside: str | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        if inside is not None:
            if line == "```":
                found.append(Block(inside, "\n".join(lines) + "\n", heading))
                inside, lines = None, []
            else:
                lines.append(line)
        elif line.startswith("```"):
            inside = line[3:]
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    assert inside is None, f"{path.name}: a block that does not end"
    return [block for block in found if block.language == language]


def table(path: Path, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its header."""
    text = path.read_text(encoding="utf-8")
    section = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", row.strip()[1:-1]) for row in rows[2:]]
    return [[cell.strip().replace("\\|", "|") for cell in row] for row in cells]


def links(path: Path) -> list[tuple[str, str]]:
    """(text, target) of the links outside code."""
    text = re.sub(r"```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\[([^\]]+)\]\(([^)]+)\)", re.sub(r"`[^`]*`", "", text))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as they are made on the web."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def execute(block: Block, name: str) -> dict[str, object]:
    """The names that a Python block leaves behind, run as a module called `name`."""
    import sys
    from types import ModuleType

    module = ModuleType(name)
    sys.modules[name] = module
    try:
        exec(compile(block.text, name, "exec", dont_inherit=True), module.__dict__)
    finally:
        del sys.modules[name]
    return module.__dict__


def load_script(name):
    """The module docs/NAME.py, which writes a page."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
