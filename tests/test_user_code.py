from __future__ import annotations

import sys
from pathlib import Path

import pytest

from prunecli.errors import InputRefused
from prunecli.user_code import NoSuchModule, load_function, names_code


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("data.py:make", True),
        ("/a b/data.py:make", True),
        ("package.module:make", True),
        ("module:make", True),
        ("data.py", False),
        ("data.py:", False),
        ("data.py:a.b", False),
        ("torchvision:CIFAR10:/data", False),
        ("torchvision:CIFAR10:data", False),
        ("./folder:make", False),
        ("", False),
        (":make", False),
    ],
)
def test_what_has_the_form_of_a_function(spec: str, code: bool) -> None:
    assert names_code(spec) is code


def test_a_function_of_a_file_that_imports_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "near_of_user_code.py").write_text("VALUE = 6\n")
    (tmp_path / "code.py").write_text("from near_of_user_code import VALUE\ndef make():\n    return VALUE\n")
    before = list(sys.path)
    assert load_function(f"{tmp_path / 'code.py'}:make")() == 6
    assert sys.path == before


def test_a_function_of_a_module_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_of_user_code"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sets.py").write_text("def make():\n    return 7\n")
    # A file of the working folder hides no module that is installed.
    (tmp_path / "colorsys.py").write_text("raise RuntimeError\n")
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert load_function("package_of_user_code.sets:make")() == 7
    assert load_function("colorsys:rgb_to_hsv")(0, 0, 0) == (0.0, 0.0, 0)
    assert sys.path == before


def test_places_that_were_known_before_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_in_a_known_place.py").write_text("def make():\n    return 8\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = list(sys.path)
    assert load_function("module_in_a_known_place:make")() == 8
    assert load_function("module_in_a_known_place.py:make")() == 8
    assert sys.path == before


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("absent.py:make", InputRefused, "no file 'absent.py'"),
        ("code.py:makes", InputRefused, "code.py has no function 'makes'"),
        ("code.py:NUMBER", InputRefused, "code.py has no function 'NUMBER'"),
        ("broken.py:make", InputRefused, "broken.py failed on import: ZeroDivisionError"),
        ("needy.py:make", InputRefused, "needy.py failed on import: ModuleNotFoundError"),
        ("no_such_module_at_all:make", NoSuchModule, "no module 'no_such_module_at_all'"),
        ("no_such_module_at_all.below:make", NoSuchModule, "no module 'no_such_module_at_all.below'"),
        ("json.no_such_part:make", NoSuchModule, "no module 'json.no_such_part'"),
        ("needy_module:make", InputRefused, "needy_module failed on import: ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_found_or_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, error: type[InputRefused], words: str
) -> None:
    (tmp_path / "code.py").write_text("NUMBER = 1\ndef make():\n    return 1\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "needy.py").write_text("import no_such_module_at_all\n")
    (tmp_path / "needy_module.py").write_text("import no_such_module_at_all\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputRefused, match=words) as caught:
        load_function(spec)
    assert type(caught.value) is error
    assert [name for name in sys.modules if "broken" in name and "prunecli_user" in name] == []


def test_the_nearest_function_is_named(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("def make_data():\n    return 1\n")
    with pytest.raises(InputRefused) as caught:
        load_function(f"{tmp_path / 'code.py'}:make_date")
    assert caught.value.hints == ("did you mean 'make_data'?",)
