"""The names of the package: there, lazy, and the whole of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import prunecli


def test_importing_the_package_loads_no_torch():
    script = "import sys, prunecli; dir(prunecli); sys.exit('torch' in sys.modules or 'typer' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_public_name_has_a_home():
    assert set(prunecli.__all__) - {"__version__"} == set(prunecli._HOMES)
    assert set(prunecli.__all__) <= set(dir(prunecli))


def test_a_public_name_is_its_workflow(workflows, monkeypatch):
    monkeypatch.delitem(vars(prunecli), "evaluate", raising=False)
    assert prunecli.evaluate is workflows["evaluate"]
    monkeypatch.delitem(vars(prunecli), "evaluate")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'swept'"):
        prunecli.swept  # noqa: B018
