"""docs/export.md: its commands answer as shown, its tables are the code's, its files open as it says."""

from __future__ import annotations

import re
import sys

import pytest
from docs.console import execute, faults
from docs.markdown import ROOT, blocks, table

from prunecli.exporters.contract import EXPORTERS
from prunecli.workflows.export import TOLERANCE_OF_INTEGERS, TOLERANCES

PAGE = ROOT / "docs" / "export.md"
SNIPPETS = {
    re.findall(r'"(?:net|model)(\.\w+)"|from (net)', block.text)[0]: block.text
    for block in blocks(PAGE, "python")
}
FORMATS = {
    ".torchscript": "torchscript",
    ".onnx": "onnx",
    ".xml": "openvino",
    ".pt2": "pt2",
    ".pte": "executorch",
}


def test_the_commands_answer_as_shown(folder):
    assert [fault for block in blocks(PAGE, "console") for fault in faults(block.text)] == []


def test_the_formats_are_those_of_the_code():
    rows = {row[0].strip("`"): row for row in table(PAGE, "Formats")}
    assert set(rows) == set(EXPORTERS)
    for name, (_, written, _, _, options) in rows.items():
        known = EXPORTERS[name]
        assert set(options.strip("`").split()) == {f"--{each}" for each in known.options}
        if not known.folder:
            named = {
                f"NAME{known.suffix}",
                *(each.format(name=f"NAME{known.suffix}", stem="NAME") for each in known.beside),
            }
            assert set(re.findall(r"`(NAME[\w.]+)`", written)) == named
    text = PAGE.read_text(encoding="utf-8")
    extras = re.findall(r"`(\w+)`", re.findall(r"(`onnx`.*) are extras", text)[0])
    assert set(extras) == {each.name for each in EXPORTERS.values() if each.extra}


def test_the_tolerances_are_those_of_the_code():
    shares = {
        name: float(row[1])
        for row in table(PAGE, "What is compared")
        for name in re.findall(r"`([^`]+)`", row[0])
    }
    assert shares.pop("--weights int8") == TOLERANCE_OF_INTEGERS
    assert {str(kind).removeprefix("torch."): share for kind, share in TOLERANCES.items()} == {
        name: share for name, share in shares.items() if not name.startswith("--")
    }


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_opens_as_shown(folder, suffix):
    for package in EXPORTERS[FORMATS[suffix]].packages:
        pytest.importorskip(package)
    ran = execute(f"prunecli export model.safetensors --to {FORMATS[suffix]} -o net{suffix}")
    assert ran.exit_codes == (0,), ran.notes
    exec(compile(SNIPPETS[(suffix, "")], "snippet", "exec"), {})


def test_the_python_file_and_the_checkpoint_open_as_shown(folder, monkeypatch):
    assert execute("prunecli export model.safetensors --to python -o net.py").exit_codes == (0,)
    monkeypatch.syspath_prepend(str(folder))
    try:
        exec(compile(SNIPPETS["", "net"], "snippet", "exec"), {})
    finally:
        sys.modules.pop("net", None)
    exec(compile(SNIPPETS[".safetensors", ""], "snippet", "exec"), {})


def test_every_snippet_is_run_here():
    assert set(SNIPPETS) == {*((suffix, "") for suffix in (*FORMATS, ".safetensors")), ("", "net")}
