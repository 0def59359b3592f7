"""What prunecli stands on, with all its extras: nothing under the AGPL, and the thop that is MIT."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FORBIDDEN = {"ultralytics", "ultralytics-thop"}
NEVER = ("agpl", "affero")


def licences(found: Distribution) -> list[str]:
    """All that the package says of its licence; long texts by their first line."""
    data = found.metadata
    said = [*data.get_all("License-Expression", []), *data.get_all("License", [])]
    said += [word for word in data.get_all("Classifier", []) if word.startswith("License ::")]
    return [text.strip().splitlines()[0] for text in said if text.strip()]


def installed(name: str, extras: frozenset[str]) -> dict[str, Distribution]:
    """The package and everything that it requires here, as far as it is installed."""
    known: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, extras)]
    while waiting:
        word, wanted = waiting.pop()
        key = (canonicalize_name(word), wanted)
        if key in seen:
            continue
        seen.add(key)
        try:
            found = distribution(word)
        except PackageNotFoundError:
            continue
        known[key[0]] = found
        for line in found.requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*wanted, "")):
                waiting.append((requirement.name, frozenset(requirement.extras)))
    return known


@pytest.fixture(scope="module")
def packages():
    extras = distribution("prunecli").metadata.get_all("Provides-Extra")
    return installed("prunecli", frozenset(extras))


def test_the_walk_finds_what_extras_bring(packages):
    assert {"prunecli", "torch", "thop", "safetensors", "onnx", "timm", "hypothesis"} <= packages.keys()


def test_nothing_is_under_the_agpl(packages):
    said = {name: licences(found) for name, found in packages.items()}
    assert {n: s for n, s in said.items() if any(word in text.lower() for text in s for word in NEVER)} == {}
    assert not FORBIDDEN & packages.keys()


def test_thop_is_the_one_under_mit(packages):
    assert any("MIT" in text for text in licences(packages["thop"]))


def test_a_package_under_the_agpl_would_be_found():
    class Planted:
        metadata = type("Fields", (dict,), {"get_all": lambda self, key, other=None: self.get(key, other)})(
            {"License": ["GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3"], "Classifier": []}
        )

    assert any(word in licences(Planted())[0].lower() for word in NEVER)  # type: ignore[arg-type]
