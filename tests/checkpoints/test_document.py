from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunecli.checkpoints.document import SCHEMA, dump, parse
from prunecli.errors import InputRefused, WorkFailed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
GOOD = {
    "architecture": {"name": "cifar/resnet20", "arguments": {"num_classes": 10}, "input_shape": [3, 32, 32]},
    "input_shape": [3, 32, 32],
    "plan": {"groups": []},
    "normalisation": {"mean": [0.5], "std": [1]},
    "history": [{"command": "prune"}],
}


def test_a_document_comes_back_with_schema_and_version():
    document = parse(dump(GOOD), path="x")
    assert document["schema"] == SCHEMA == "prunecli.checkpoint/1"
    assert {key: document[key] for key in GOOD} == GOOD


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_any_plain_json_under_other_keys_comes_back(extra):
    for key in ("schema", "version", *GOOD, "arguments", "normalization"):
        extra.pop(key, None)
    document = parse(dump(extra), path="x")
    assert {key: document[key] for key in extra} == extra


@pytest.mark.parametrize(
    "bad",
    [
        {"architecture": "resnet"},
        {"architecture": {"arguments": {}}},
        {"architecture": {"name": "a", "arguments": []}},
        {"input_shape": []},
        {"input_shape": [3, 0]},
        {"input_shape": [3, 10**9]},
        {"input_shape": [True]},
        {"plan": [1]},
        {"normalisation": {"mean": ["x"]}},
        {"history": {}},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_refused_by_its_key(bad):
    text = json.dumps({"schema": SCHEMA, **bad})
    with pytest.raises(InputRefused, match=f"no valid '{next(iter(bad))}'"):
        parse(text, path="x")
    with pytest.raises(WorkFailed):
        dump(bad)


def test_other_schemas_and_broken_json_are_refused():
    with pytest.raises(InputRefused, match=r"written in the form prunecli\.checkpoint/9"):
        parse('{"schema": "prunecli.checkpoint/9"}', path="x")
    for text in ("[1]", "{", '{"schema": "a", "schema": "b"}', "NaN", "[" * 100_000):
        with pytest.raises(InputRefused):
            parse(text, path="x")


def test_what_json_cannot_say_is_not_written():
    for value in (float("nan"), object(), {1, 2}):
        with pytest.raises(WorkFailed, match="cannot be written as JSON"):
            dump({"x": value})
