"""JSON that a user names: regular files of bounded size, read strictly."""

from __future__ import annotations

import os

import pytest

from prunecli.checkpoints import json_files
from prunecli.checkpoints.json_files import read_json
from prunecli.errors import InputRefused


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the plan .* is empty"),
        (b"{", "is not JSON"),
        (b'{"a": NaN}', "holds NaN"),
        (b'{"a": 1, "a": 2}', "holds a twice"),
        (b"[" * 100_000, "nested too deep"),
        (b"9" * 5000, "is not JSON"),
        (b'"\xff"', "not UTF-8"),
    ],
)
def test_what_is_no_strict_json_is_refused_in_words(content, words, tmp_path):
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(InputRefused, match=words):
        read_json(str(path), what="the plan")


def test_a_file_that_is_too_large_is_not_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "MOST_BYTES", 10)
    path = tmp_path / "plan.json"
    path.write_text("[1, 2, 3]")
    assert read_json(str(path), what="the plan") == [1, 2, 3]
    path.write_text("[1, 2, 3, 4]")
    with pytest.raises(InputRefused, match="larger than the 10 bytes"):
        read_json(str(path), what="the plan")


def test_devices_pipes_and_what_is_missing_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, words in {
        "/dev/zero": "a device",
        str(tmp_path / "pipe"): "a pipe",
        "missing": "not exist",
    }.items():
        with pytest.raises(InputRefused, match=words):
            read_json(path, what="the plan")
