"""Gather what the documentation site is made of: the pages that mkdocs.yml names, and what they link to.

    python docs/stage_site.py

The copies lie in build/pages as they lie in the repository, so that a link means the same here and there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION = ROOT / "mkdocs.yml"
STAGE = ROOT / "build" / "pages"


def named_pages() -> list[str]:
    """The pages of the navigation, as paths from the root of the repository, in order."""
    # The configuration has no tags of its own: the plain loader reads it.
    return list(_leaves(yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["nav"]))


def files() -> list[Path]:
    """Every file of the site: the named pages, and each file that one of them links to or shows."""
    found: dict[Path, None] = {}
    waiting = [ROOT / name for name in named_pages()]
    while waiting:
        path = waiting.pop(0)
        if path not in found:
            found[path] = None
            waiting += linked(path)
    return list(found)


def linked(page: Path) -> list[Path]:
    """The files of the repository that a Markdown page links to or shows; none for other files.

    Raises:
        FileNotFoundError: a link leads nowhere.

    """
    if page.suffix != ".md":
        return []
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)#\s]+)", re.sub(r"`[^`]*`", "", text))
    paths = [(page.parent / target).resolve() for target in targets if not re.match(r"[a-z]+:", target)]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{page.relative_to(ROOT)} links to {path}, which is no file")
    return paths


def stage() -> None:
    """Write the copies anew."""
    shutil.rmtree(STAGE, ignore_errors=True)
    for path in files():
        target = STAGE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _leaves(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    else:
        for child in node.values() if isinstance(node, dict) else node:
            yield from _leaves(child)


if __name__ == "__main__":
    stage()
