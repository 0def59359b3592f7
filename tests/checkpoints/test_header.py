from __future__ import annotations

import json
import tracemalloc
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunecli.checkpoints import header as header_module
from prunecli.checkpoints.header import read_header, strict_json
from prunecli.checkpoints.source import open_source
from prunecli.errors import InputRefused


def entry(start=0, end=8, dtype="F32", shape=(2,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def header_of(path):
    with closing(open_source(path)) as source:
        return read_header(source)


def test_a_valid_header_is_read_in_the_files_order(safetensors_file):
    path = safetensors_file({"__metadata__": {"a": "b"}, "z": entry(8, 16), "y": entry()}, bytes(16))
    found = header_of(path)
    assert list(found.entries) == ["z", "y"]
    assert found.entries["z"].shape == (2,)
    assert found.metadata == {"a": "b"}


BAD = {
    "overlaps": ({"a": entry(), "b": entry(4, 12)}, bytes(12), "overlaps another tensor"),
    "hole": ({"a": entry(), "b": entry(12, 20)}, bytes(20), "leaves a hole"),
    "hole at start": ({"a": entry(4, 12)}, bytes(12), "leaves a hole"),
    "behind": ({"a": entry()}, bytes(9), "1 bytes behind"),
    "cut off": ({"a": entry()}, bytes(3), "is cut off"),
    "shape": ({"a": entry(shape=(3,))}, bytes(8), "does not fit its 8 bytes"),
    "huge shape": ({"a": entry(shape=(2**62, 2**62))}, bytes(8), "does not fit"),
    "negative": ({"a": entry(-8, 0)}, bytes(8), "not whole numbers from 0"),
    "negative shape": ({"a": entry(shape=(-1, -2))}, bytes(8), "not whole numbers from 0"),
    "float": ({"a": entry(shape=(2.0,))}, bytes(8), "not whole numbers from 0"),
    "true": ({"a": entry(0, 4, shape=(True,))}, bytes(4), "not whole numbers from 0"),
    "type": ({"a": entry(dtype="F5\x1b")}, bytes(8), r"unknown type F5\\x1b"),
    "extra key": ({"a": {**entry(), "run": "me"}}, bytes(8), "otherwise than by"),
    "no object": ({"a": 7}, bytes(8), "otherwise than by"),
    "metadata": ({"__metadata__": {"a": 1}, "a": entry()}, bytes(8), "map from text to text"),
    "empty": ({}, b"", "holds no tensors"),
    "duplicate": (b'{"a":1,"a":2}', b"", "holds a twice"),
    "space": (b' {"a":1}', b"", "does not start with"),
    "no json": (b'{"a":', b"", "is not JSON"),
    "nan": (b'{"a":NaN}', b"", "holds NaN"),
    "utf-8": (b'{"\xff":1}', b"", "not UTF-8"),
    "deep": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b"", "nested too deep"),
}


@pytest.mark.parametrize(("header", "data", "words"), BAD.values(), ids=BAD.keys())
def test_a_header_that_breaks_a_rule_is_refused(safetensors_file, header, data, words):
    with pytest.raises(InputRefused, match=words):
        header_of(safetensors_file(header, data))


def test_a_header_longer_than_the_file_or_the_limit_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes((1000).to_bytes(8, "little") + b"{}")
    with pytest.raises(InputRefused, match=r"ends at 10 bytes of at least 1,008"):
        header_of(path)
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    with pytest.raises(InputRefused, match="claims a header of"):
        header_of(path)
    path.write_bytes(b"\x01\x02")
    with pytest.raises(InputRefused, match="in its header"):
        header_of(path)


def test_a_cut_off_file_says_how_long_it_should_be(safetensors_file):
    path = safetensors_file({"a": entry(0, 8)}, bytes(8))
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputRefused, match=f"ends at {whole - 5} bytes of {whole}$"):
        header_of(path)


def test_too_many_tensors_are_refused(safetensors_file, monkeypatch):
    monkeypatch.setattr(header_module, "MAX_TENSORS", 2)
    many = {str(n): entry(0, 0, shape=(0,)) for n in range(9)}
    with pytest.raises(InputRefused, match="more than 4 objects"):
        header_of(safetensors_file(many))


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_strict_json_agrees_with_json_on_what_it_takes(value):
    text = json.dumps(value)
    assert strict_json(text, most_objects=1000) == json.loads(text)


def test_lists_and_names_without_end_are_refused_before_they_are_parsed():
    for text in ('{"a":[' + "[]," * 2_000_000 + "[]]}", '{"a":[' + "1," * 2_000_000 + "1]}"):
        with pytest.raises(ValueError, match="more than 1,500,000 values"):
            strict_json(text, most_objects=10)
    quoted = json.dumps({"a": '[,\\",' * 500_000})
    assert len(strict_json(quoted, most_objects=1)["a"]) == 2_500_000


def test_a_name_that_comes_twice_is_found_quickly_among_many():
    names = ",".join(f'"{n}":1' for n in range(200_000))
    with pytest.raises(ValueError, match="holds 199999 twice"):
        strict_json("{" + names + ',"199999":2}', most_objects=1)


def test_escaped_quotes_hide_no_values_and_cost_no_memory():
    hidden = '{"a":"\\"",' + '"b":[' + "1," * 2_000_000 + '1],"c":"\\\\"}'
    with pytest.raises(ValueError, match="more than 1,500,000 values"):
        strict_json(hidden, most_objects=10)
    tracemalloc.start()
    strict_json('{"a":"' + '\\"' * 2_000_000 + "," * 1_600_000 + '"}', most_objects=1)
    assert tracemalloc.get_traced_memory()[1] < 60_000_000
    tracemalloc.stop()
