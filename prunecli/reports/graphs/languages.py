"""The channel graph in the languages of other tools: DOT for graphviz, Mermaid for Markdown.

Groups are rounded, layers are boxes; each stands between the groups that it reads and those that it makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prunecli.reports.graphs.lanes import Lanes, lanes_of
from prunecli.reports.graphs.wording import fate

_PLAIN = frozenset(" .,:-_/()")


def as_dot(document: Mapping[str, Any]) -> str:
    """A digraph from top to bottom; groups that stay are grey and dashed."""
    lanes, groups = _drawn(document)
    lines = [
        "digraph channels {",
        '  node [fontname="sans-serif", fontsize=10];',
        '  node [shape=box, style="rounded,filled", fillcolor="#dbe8f7"];',
    ]
    for number, group in enumerate(groups):
        look = "" if group["prunable"] else ', style="rounded,dashed", color="#8a97a8"'
        lines.append(f"  g{number} [label={_quoted(group['name'], fate(group))}{look}];")
    lines.append('  node [shape=box, style="", color=black];')
    for number, row in enumerate(lanes.rows):
        lines.append(f"  l{number} [label={_quoted(row.layer, f'{row.type} {row.channels}')}];")
    lines += [f"  {start} -> {end};" for start, end in _edges(lanes, groups)]
    return "\n".join([*lines, "}"]) + "\n"


def as_mermaid(document: Mapping[str, Any]) -> str:
    """A flowchart from top to bottom; groups that stay are dashed."""
    lanes, groups = _drawn(document)
    lines = ["flowchart TD"]
    for number, group in enumerate(groups):
        lines.append(f'  g{number}(["{_entities(group["name"])}<br/>{_entities(fate(group))}"])')
    for number, row in enumerate(lanes.rows):
        lines.append(f'  l{number}["{_entities(row.layer)}<br/>{_entities(row.type)} {row.channels}"]')
    lines += [f"  {start} --> {end}" for start, end in _edges(lanes, groups)]
    lines.append("  classDef stays stroke-dasharray: 4 3")
    lines += [f"  class g{number} stays" for number, group in enumerate(groups) if not group["prunable"]]
    return "\n".join(lines) + "\n"


def _drawn(document: Mapping[str, Any]) -> tuple[Lanes, list[Mapping[str, Any]]]:
    lanes = lanes_of(document)
    return lanes, [group for group in document["groups"] if group["name"] in lanes.strands]


def _edges(lanes: Lanes, groups: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    place = {group["name"]: f"g{number}" for number, group in enumerate(groups)}
    found = []
    for number, row in enumerate(lanes.rows):
        found += [(place[name], f"l{number}") for name in row.reads]
        found += [(f"l{number}", place[name]) for name in row.makes]
    return found


def _quoted(*lines: str) -> str:
    """A DOT string of several lines."""
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") for line in lines)
    return '"' + "\\n".join(escaped) + '"'


def _entities(text: str) -> str:
    """Mermaid shows a character by its number where it could be a mark."""
    return "".join(
        character if character.isalnum() or character in _PLAIN else f"#{ord(character)};"
        for character in text
    )
