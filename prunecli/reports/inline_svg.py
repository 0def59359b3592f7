"""A drawn SVG made fit to stand inside a page, beside others, without anything that points outside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_POINTER = re.compile(r"url\(#([^)]+)\)")
_PIXELS_A_POINT = 96 / 72


@dataclass(frozen=True)
class InlineSvg:
    """An `svg` element, and how wide it was drawn."""

    markup: str
    width: int
    """In CSS pixels."""


def inline_svg(data: bytes, *, name: str, alternative: str) -> InlineSvg:
    """The `svg` element alone, described by `alternative`; its ids and what points to them begin with `name`.

    What describes the file (document type, metadata) stays out, and so does its style sheet, which would hold
    for the whole page: what it says of lines stands on the element itself.
    """
    root = ElementTree.fromstring(data)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _own_names(element, name)
    size = root.attrib["width"]
    width = float(size.removesuffix("pt")) * (_PIXELS_A_POINT if size.endswith("pt") else 1)
    _describe(root, name, alternative)
    # Without a prefix: HTML knows `svg` by its name alone.
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    return InlineSvg(ElementTree.tostring(root, encoding="unicode"), round(width))


def _own_names(element: ElementTree.Element, name: str) -> None:
    link = element.attrib.pop(_LINK, None)
    if link is not None:
        element.set("href", f"#{name}-{link[1:]}" if link.startswith("#") else link)
    for key, value in element.attrib.items():
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif "url(" in value:
            element.set(key, _POINTER.sub(rf"url(#{name}-\1)", value))


def _describe(root: ElementTree.Element, name: str, alternative: str) -> None:
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("style", "stroke-linejoin:round;stroke-linecap:butt")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title")
    title = ElementTree.Element("title", {"id": f"{name}-title"})
    title.text = alternative
    root.insert(0, title)
