"""The house rules, enforced: floors, sizes, names, no print, no torch where names are listed.

`FLOORS` is the one list of the order of imports, lowest first. A room is a folder or a top-level
file of the package. Imports go down only; rooms on one floor do not know each other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "prunecli"

FLOORS = (
    {"errors", "interruption", "progress", "version"},
    {"checkpoints", "dispatch", "documents", "processes", "registry", "torchvision_import", "user_code"},
    {"criteria", "graph", "exporters", "architectures", "data", "gates"},
    {"calibration", "cost", "latency", "scoring", "surgery", "training"},
    {"allocation", "analysis", "reports", "search"},
    {"strategies"},
    {"workflows"},
    {"cli", "__init__"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

FILE_LINES = 400
FUNCTION_LINES = 60
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "misc", "core"}
HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "scipy",
    "sklearn",
    "onnx",
    "onnxruntime",
    "safetensors",
    "matplotlib",
    "numpy",
    "jinja2",
}
LIGHT_ROOMS = {"documents", "errors", "registry", "progress", "version", "cli", "__main__", "__init__"}


def modules(package: Path) -> list[Path]:
    return sorted(path for path in package.rglob("*.py") if "__pycache__" not in path.parts)


def room_of(path: Path, package: Path) -> str:
    first = path.relative_to(package).parts[0]
    return first.removesuffix(".py")


def dotted(path: Path, package: Path) -> str:
    parts = list(path.relative_to(package.parent).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node: ast.AST, module: str, *, is_package: bool) -> list[str]:
    """The absolute names that an import statement brings in, with what is taken `from` a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        origin = node.module or ""
        if node.level:
            parts = module.split(".")
            keep = len(parts) - node.level + is_package
            origin = ".".join([*parts[:keep], *([node.module] if node.module else [])])
        return [f"{origin}.{alias.name}" for alias in node.names]
    return []


def all_imports(path: Path, package: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module, is_package = dotted(path, package), path.name == "__init__.py"
    return {name for node in ast.walk(tree) for name in imported(node, module, is_package=is_package)}


def at_import(path: Path, package: Path) -> set[str]:
    """What is imported when the module is: not inside functions, not for type checkers only."""
    module, is_package = dotted(path, package), path.name == "__init__.py"

    def walk(nodes: list[ast.stmt]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from walk(node.orelse)
                continue
            yield from imported(node, module, is_package=is_package)
            for field in ("body", "orelse", "finalbody"):
                yield from walk([child for child in getattr(node, field, []) if isinstance(child, ast.stmt)])
            for handler in getattr(node, "handlers", []):
                yield from walk(handler.body)

    return set(walk(ast.parse(path.read_text(encoding="utf-8")).body))


def floor_faults(package: Path, level: dict[str, int]) -> list[str]:
    name, faults = package.name, []
    for path in modules(package):
        room = room_of(path, package)
        if room not in level:
            faults.append(f"{dotted(path, package)}: the room {room!r} has no floor")
            continue
        for target in sorted(all_imports(path, package)):
            parts = target.split(".")
            if parts[0] != name:
                continue
            other = (
                parts[1] if len(parts) > 1 and (len(parts) > 2 or _is_room(package, parts[1])) else "__init__"
            )
            if other == room:
                continue
            if other not in level:
                faults.append(f"{dotted(path, package)}: imports {target}, a room without a floor")
            elif level[other] >= level[room]:
                way = "up" if level[other] > level[room] else "sideways"
                faults.append(f"{dotted(path, package)}: imports {way}: {target}")
    return faults


def _is_room(package: Path, name: str) -> bool:
    return (package / name).is_dir() or (package / f"{name}.py").is_file()


def size_faults(package: Path) -> list[str]:
    faults = []
    for path in modules(package):
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > FILE_LINES:
            faults.append(f"{dotted(path, package)}: {lines} lines, {FILE_LINES} allowed")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > FUNCTION_LINES:
                    faults.append(
                        f"{dotted(path, package)}.{node.name}: {length} lines, {FUNCTION_LINES} allowed"
                    )
    return faults


def name_faults(package: Path) -> list[str]:
    paths = [path.relative_to(package.parent) for path in modules(package)]
    return [
        str(path) for path in paths if FORBIDDEN_NAMES & {part.removesuffix(".py") for part in path.parts}
    ]


def print_faults(package: Path) -> list[str]:
    return [
        f"{dotted(path, package)}:{node.lineno}"
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def caption_faults(package: Path) -> list[str]:
    return [
        dotted(path, package)
        for path in modules(package)
        if not (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").strip()
    ]


def must_be_light(path: Path, package: Path) -> bool:
    """Members and contracts of an extension point, and what the command line starts with.

    The coupling rules of the graph are the exception: only tracing looks them up, and it has torch.
    """
    room = room_of(path, package)
    return room in LIGHT_ROOMS or (room != "graph" and (path.parent / "contract.py").is_file())


def weight_faults(package: Path) -> list[str]:
    """Light modules that load something heavy when imported, by themselves or through another module."""
    by_name = {dotted(path, package): path for path in modules(package)}

    def heavy_path(module: str, seen: set[str]) -> list[str] | None:
        seen.add(module)
        for target in sorted(at_import(by_name[module], package)):
            if target.split(".")[0] in HEAVY:
                return [target]
            for near in _ancestry(target):
                if near in by_name and near not in seen:
                    below = heavy_path(near, seen)
                    if below:
                        return [near, *below]
        return None

    faults = []
    for name, path in by_name.items():
        if must_be_light(path, package):
            found = heavy_path(name, set())
            if found:
                faults.append(f"{name} loads {' -> '.join(found)}")
    return faults


def _ancestry(target: str) -> list[str]:
    """`a.b.c` and the packages around it, for importing it runs them all."""
    parts = target.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


CHECKS = {
    "floors": lambda package: floor_faults(package, LEVEL),
    "sizes": size_faults,
    "names": name_faults,
    "print": print_faults,
    "captions": caption_faults,
    "weight": weight_faults,
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_house_rules_hold(check):
    assert CHECKS[check](PACKAGE) == []


def test_every_room_stands_on_one_floor():
    assert sum(len(rooms) for rooms in FLOORS) == len(LEVEL)


@pytest.fixture
def house(tmp_path):
    """A package with one clean file a room; returns a function that plants a file."""
    package = tmp_path / "prunecli"

    def plant(name, text):
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return package

    plant("__init__.py", '"""Face."""\n')
    plant("errors.py", '"""Errors."""\n')
    plant("criteria/contract.py", '"""Contract."""\nfrom prunecli.errors import WrongUse\n')
    plant(
        "scoring/__init__.py",
        '"""Scoring."""\nimport torch\nfrom prunecli.criteria.contract import CRITERIA\n',
    )
    return plant


def test_a_clean_house_has_no_fault(house):
    package = house("criteria/norms.py", '"""Norms."""\nfrom .contract import CRITERIA\n')
    assert {name: check(package) for name, check in CHECKS.items()} == {name: [] for name in CHECKS}


@pytest.mark.parametrize(
    ("check", "file", "text", "fault"),
    [
        ("floors", "criteria/a.py", "from prunecli.scoring import x", "imports up: prunecli.scoring.x"),
        ("floors", "criteria/a.py", "from prunecli import scoring", "imports up: prunecli.scoring"),
        ("floors", "criteria/a.py", "from ..scoring import x", "imports up: prunecli.scoring.x"),
        (
            "floors",
            "criteria/a.py",
            "def f():\n    import prunecli.scoring.x",
            "imports up: prunecli.scoring.x",
        ),
        ("floors", "surgery/a.py", "from prunecli.scoring import x", "imports sideways: prunecli.scoring.x"),
        ("floors", "scoring/a.py", "from prunecli import load", "imports up: prunecli.load"),
        ("floors", "scoring/a.py", "import prunecli", "imports up: prunecli"),
        ("floors", "attic/a.py", "", "the room 'attic' has no floor"),
        (
            "floors",
            "scoring/a.py",
            "from prunecli.attic import x",
            "imports prunecli.attic.x, a room without a floor",
        ),
        ("sizes", "scoring/a.py", "x = 1\n" * 399, "401 lines, 400 allowed"),
        ("sizes", "scoring/a.py", "def f():\n" + "    x = 1\n" * 60, "a.f: 61 lines, 60 allowed"),
        ("names", "scoring/utils.py", "", "utils.py"),
        ("names", "core/a.py", "", "core"),
        ("print", "scoring/a.py", "def f():\n    print(1)", "prunecli.scoring.a:3"),
        ("weight", "criteria/a.py", "import torch.nn", "prunecli.criteria.a loads torch.nn"),
        (
            "weight",
            "criteria/a.py",
            "try:\n    from torch import nn\nexcept ImportError:\n    pass",
            "loads torch.nn",
        ),
        ("weight", "cli/a.py", "import prunecli.scoring", "prunecli.cli.a loads prunecli.scoring -> torch"),
    ],
)
def test_a_planted_fault_is_found(house, check, file, text, fault):
    package = house(file, f'"""Planted."""\n{text}\n')
    found = CHECKS[check](package)
    assert any(fault in line for line in found), found


def test_a_missing_caption_is_found(house):
    assert caption_faults(house("scoring/a.py", "x = 1\n")) == ["prunecli.scoring.a"]


@pytest.mark.parametrize(
    "text",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from torch import Tensor",
        "def f():\n    import torch",
    ],
)
def test_torch_for_types_or_inside_a_function_is_light(house, text):
    assert weight_faults(house("criteria/a.py", f'"""Light."""\n{text}\n')) == []
