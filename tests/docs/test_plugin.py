"""docs/recipes/own_criterion.md: the package of the example installs, is found, scores and prunes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from docs.console import shown
from docs.markdown import ROOT, blocks

from prunecli.checkpoints import default_sample

PAGE = ROOT / "docs" / "recipes" / "own_criterion.md"
PACKAGE = ROOT / "examples" / "prunecli_criterion_topk"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package as pip installs it: nothing is fetched, and no environment is changed."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("plugin")
    # A build writes beside the sources.
    copy = shutil.copytree(PACKAGE, folder / "package", ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    options += ["--target", str(folder / "target")]
    install = [sys.executable, "-m", "pip", "install", *options, str(copy)]
    subprocess.run(install, check=True, capture_output=True, text=True)
    return folder / "target"


def run(command, target, folder):
    """A command of the page in a process of its own that sees the package: its lines, blanks folded."""
    # In a shell parentheses want quotes; no shell is between here.
    words = [sys.executable, "-m", "prunecli", *command.split()[1:]]
    environment = {**os.environ, "PYTHONPATH": f"{target}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return {" ".join(line.split()) for line in (ran.stdout + ran.stderr).splitlines()}


def test_the_commands_answer_as_shown(installed, tmp_path):
    shutil.copy(default_sample(), tmp_path / "model.safetensors")
    (block,) = blocks(PAGE, "console")
    found = shown(block.text)
    assert [item.command.split()[1] for item in found] == ["catalog", "compare", "prune"]
    for item in found:
        lines = run(item.command, installed, tmp_path)
        assert {" ".join(line.split()) for line in item.lines} <= lines


def test_what_the_page_quotes_is_in_the_package():
    page = PAGE.read_text(encoding="utf-8")
    source = (PACKAGE / "prunecli_criterion_topk" / "topk.py").read_text(encoding="utf-8")
    quoted = re.findall(r"^ {8}(.+)$", page, flags=re.MULTILINE)
    assert quoted
    assert all(line.strip() in source for line in quoted)
    (entry,) = blocks(PAGE, "toml")
    assert entry.text in (PACKAGE / "pyproject.toml").read_text(encoding="utf-8")


def test_the_tests_of_the_package_hold(installed, monkeypatch):
    monkeypatch.syspath_prepend(str(installed))
    from docs.registries import kept

    with kept():
        text = (PACKAGE / "tests" / "test_topk.py").read_text(encoding="utf-8")
        names = {}
        exec(compile(text, "test_topk", "exec"), names)
        names["test_the_largest_weight_decides_by_default"]()
        names["test_all_weights_make_it_the_mean"]()
