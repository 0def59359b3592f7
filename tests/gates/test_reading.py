"""Which files are reports, and what is said of those that are none."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest

from prunecli.errors import InputRefused
from prunecli.gates.reading import read_report

GOOD = json.dumps({"schema": "prunecli.prune/1", "version": "0"}).encode()


@pytest.mark.parametrize("content", [GOOD, b"\xef\xbb\xbf" + GOOD, b"\n  " + GOOD + b"\n"])
def test_a_report_is_read_from_a_file_and_from_standard_input(tmp_path, monkeypatch, content):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    for found in (read_report(str(path)), read_report("-")):
        assert (found.command, found.document["version"]) == ("prune", "0")
    assert read_report(str(path)).label == str(path)
    with pytest.raises(InputRefused, match="standard input is empty"):
        read_report("-")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"PK\x03\x04 a zip", "is no JSON document$"),
        (b"[1]", "is no JSON document$"),
        (b'{"schema": ', "is no JSON document: Expecting value"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b'{"a": "\xff"}', "it is no UTF-8"),
        (b'{"a":' * 100_000, "nested too deep|Expecting value"),
        (b"{}", "is no report of prunecli"),
        (b'{"schema": 1}', "is no report of prunecli"),
        (b'{"schema": "other/1"}', "is no report of prunecli"),
        (b'{"schema": "prunecli.prune/2"}', "prunecli.prune/2, which this version does not know"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, content, says):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(InputRefused, match=says) as refused:
        read_report(str(path))
    assert refused.value.hints or "deep" in refused.value.message


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputRefused, match="cannot be read: No such file"):
        read_report(str(tmp_path / "none.json"))
    with pytest.raises(InputRefused, match="cannot be read: Is a directory"):
        read_report(str(tmp_path))
