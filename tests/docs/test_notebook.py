"""examples/prunecli.ipynb runs from top to bottom, and its results show themselves as tables."""

from __future__ import annotations

import json

import pytest
from docs.markdown import ROOT

NOTEBOOK = ROOT / "examples" / "prunecli.ipynb"


def test_it_is_kept_without_outputs():
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.slow
def test_it_runs_and_its_results_are_tables(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):  # nothing is left in the home folder
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    run = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    found = {cell["id"]: cell.get("outputs", []) for cell in run.execute()["cells"]}
    for name in ("look", "compare", "prune", "train"):
        (shown,) = found[name]
        assert "<table" in shown["data"]["text/html"], name
    (figures,) = found["figures"]
    reduction, equivalent, accuracy = eval(figures["data"]["text/plain"], {})
    assert 0.7 < reduction < 0.8
    assert equivalent is True
    assert accuracy["before"] > accuracy["after"]
    (last,) = found["load"]
    assert last["data"]["text/plain"] == "(torch.Size([1, 10]), 19810)"
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        "small.safetensors",
        "tuned.safetensors",
    }
