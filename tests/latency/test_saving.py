"""A table on the disk: the same seconds come back, on the same machine only."""

from __future__ import annotations

import json

import pytest

from prunecli.errors import InputRefused
from prunecli.latency.saving import load_table, machine_facts, save_table

SECONDS = {"aten.mm(float32[2x3], float32[3x5])": 0.5, "aten.mean(float32[2x3], [1])": None}


def test_seconds_come_back(tmp_path):
    machine = machine_facts(device="cpu", threads=3, batch=4)
    save_table(tmp_path / "table.json", SECONDS, machine=machine)
    assert (machine["threads"], machine["batch"], machine["device"]) == (3, 4, "cpu")
    assert load_table(tmp_path / "table.json", machine=machine) == SECONDS


def test_another_setting_is_refused(tmp_path):
    save_table(tmp_path / "table.json", SECONDS, machine=machine_facts(device="cpu", threads=3, batch=4))
    with pytest.raises(InputRefused) as refused:
        load_table(tmp_path / "table.json", machine=machine_facts(device="cpu", threads=1, batch=4))
    assert refused.value.hints[0] == "threads 3, not 1"


@pytest.mark.parametrize(
    "text", ["no json", "[]", "{}", json.dumps({"schema": "x", "machine": {}, "seconds": {}})]
)
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "table.json"
    path.write_text(text)
    with pytest.raises(InputRefused, match=r"table\.json"):
        load_table(path, machine={})


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="does not exist"):
        load_table(tmp_path / "none.json", machine={})
