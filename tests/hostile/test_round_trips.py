"""Random weights come back as they were written; random plans are carried out or are refused."""

from __future__ import annotations

import copy
import json
import random

import networks
import pytest
import torch
from hostile.making import torch_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from prunecli.checkpoints import read_checkpoint
from prunecli.errors import InputRefused
from prunecli.graph.channel_graph import build_graph
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.plan import Plan
from prunecli.surgery.planning import follow_plan, make_plan

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.bool)
WORDS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="."), min_size=1, max_size=6)
# Names that wrappers, averages and masks add are taken off on purpose.
ADDED = ("module", "model", "net", "backbone", "_orig", "_mask", "ema", "swa", "averaged")
NAMES = (
    st.lists(WORDS, min_size=1, max_size=3)
    .map(".".join)
    .filter(lambda name: not any(word in name for word in ADDED))
)
SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
NESTS = (None, "state_dict", "model", "net", "weights")
WRAPPERS = ("", "module.", "_orig_mod.", "module._orig_mod.")
MODEL = networks.randomised(networks.Residual())
GRAPH = build_graph(MODEL, (3, 8, 8))
WHOLE = make_plan(GRAPH, {"stem": [1, 4], "inner": [0, 2]}).plan


@st.composite
def tensors(draw):
    dtype, shape = draw(st.sampled_from(DTYPES)), draw(SHAPES)
    made = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))).to(
        dtype
    )
    return made.mT.contiguous().mT if draw(st.booleans()) and len(shape) > 1 else made


state_dicts = st.dictionaries(NAMES, tensors(), min_size=1, max_size=5)


def read(path, content):
    path.write_bytes(content)
    return read_checkpoint(path).tensors


def assert_same(found, given_tensors):
    assert found.keys() == given_tensors.keys()
    for name, tensor in given_tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@given(weights=state_dicts, nest=st.sampled_from(NESTS), wrapper=st.sampled_from(WRAPPERS), old=st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_torch_saves_comes_back(tmp_path_factory, weights, nest, wrapper, old):
    path = tmp_path_factory.getbasetemp() / "weights.pt"
    wrapped = {wrapper + name: tensor for name, tensor in weights.items()}
    whole = wrapped if nest is None else {nest: wrapped, "epoch": 3, "lr": 0.1}
    found = read(path, torch_bytes(whole, _use_new_zipfile_serialization=not old))
    assert_same(found, weights)


@given(weights=state_dicts)
@settings(max_examples=100, deadline=None)
def test_what_safetensors_saves_comes_back(tmp_path_factory, weights):
    path = tmp_path_factory.getbasetemp() / "weights.safetensors"
    plain = {name: tensor.contiguous() for name, tensor in weights.items()}
    assert_same(read(path, save(plain)), plain)


def test_a_flipped_bit_is_refused_or_changes_nothing(tmp_path):
    weights = {"a": torch.randn(3, 4), "b": torch.arange(5)}
    whole = torch_bytes(weights)
    chosen = random.Random(0)
    refused = 0
    for bit in chosen.sample(range(8 * len(whole)), 400):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert_same(read(tmp_path / "flipped.pt", bytes(flipped)), weights)
        except InputRefused:
            refused += 1
    assert refused > 200  # the others lie in padding, dates and the like


groups = st.fixed_dictionaries(
    {
        group.name: st.sets(st.integers(0, group.channels - 1), max_size=group.channels - 1).map(sorted)
        for group in GRAPH.prunable
    }
)


@given(removed=groups)
@settings(max_examples=40, deadline=None)
def test_a_saved_plan_comes_to_the_same_network(removed):
    plan = make_plan(GRAPH, {name: gone for name, gone in removed.items() if gone}).plan
    read_back = Plan.from_json(plan.to_json())
    assert read_back == plan
    once, again = (
        carry_out(plan, copy.deepcopy(MODEL)),
        follow_plan(GRAPH, read_back, copy.deepcopy(MODEL))[1],
    )
    assert_same(again.state_dict(), once.state_dict())


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 20),
    st.integers(-(1 << 70), 1 << 70),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from([[], {}, [0], [[0]], "stem.weight", "stem", "scatter_index", "__class__"]),
)


def places(value, path=()):
    """The way to everything in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, held in inner:
        yield (*path, key)
        yield from places(held, (*path, key))


PLACES = list(places(WHOLE.document()))


@given(
    changes=st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=3), drop=st.booleans()
)
@settings(max_examples=300, deadline=None)
def test_a_changed_plan_is_refused_or_carried_out(changes, drop):
    document = json.loads(WHOLE.to_json())
    for (*way, last), value in changes:
        held = document
        try:
            for key in way:
                held = held[key]
            if drop and isinstance(held, dict):
                held.pop(last, None)
            else:
                held[last] = value
        except (LookupError, TypeError, AttributeError):
            continue  # an earlier change took the place away
    model = copy.deepcopy(MODEL)
    try:
        carry_out(Plan.from_document(document), model)
    except InputRefused:
        assert_same(model.state_dict(), MODEL.state_dict())


def test_a_plan_cannot_be_carried_out_on_what_it_left():
    smaller = carry_out(WHOLE, copy.deepcopy(MODEL))
    with pytest.raises(InputRefused):
        carry_out(WHOLE, smaller)
