from __future__ import annotations

import io
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunecli.checkpoints import opcodes
from prunecli.checkpoints.opcodes import BrokenPickleError, is_allowed, scan_pickle, unprunable


def test_plain_values_name_nothing():
    scan = scan_pickle(pickle.dumps({"epoch": 3, "names": ["a", "b"]}, protocol=2))
    assert scan.globals == ()
    assert scan.unsafe == ()
    assert scan.foreign is None


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_global_is_found_at_every_protocol_with_its_place(protocol):
    raw = pickle.dumps({"key": io.BytesIO}, protocol=protocol)
    (named,) = scan_pickle(raw).unsafe
    assert named.dotted == "_io.BytesIO"
    assert raw[named.offset : named.offset + 1] in (b"c", b"\x93")


def test_code_of_protocol_0_and_extension_codes_are_found():
    assert [named.dotted for named in scan_pickle(b"(S'id'\nios\nsystem\n.").unsafe] == ["os.system"]
    assert [named.dotted for named in scan_pickle(b"\x82\x01.").unsafe] == ["copyreg.extension-1"]


def test_the_text_before_a_global_is_kept_as_the_name_of_what_follows():
    scan = scan_pickle(pickle.dumps({"conv.weight": io.BytesIO}, protocol=2))
    assert scan.globals[0].after == "conv.weight"


@pytest.mark.parametrize(
    "spelled",
    [
        "torch FloatStorage",
        "torch.cuda HalfStorage",
        "torch float16",
        "torch bfloat16",
        "collections OrderedDict",
    ],
)
def test_names_of_weights_files_are_allowed(spelled):
    assert is_allowed(spelled)


@pytest.mark.parametrize(
    "spelled",
    [
        "os system",
        "builtins eval",
        "builtins bytearray",
        "_codecs encode",
        "torch FloatTensor",
        "torch load",
        "torch float_power\nx",
        "torch.storage _load_from_bytes",
        "torch._utils _rebuild_tensor_v2 ",
        "torch.nn.modules.linear Linear",
        "torch QInt8Storage",
        "an unknown name",
    ],
)
def test_other_names_are_not(spelled):
    assert not is_allowed(spelled)


def test_every_allowed_name_is_one_that_torch_knows():
    known = torch._weights_only_unpickler._get_allowed_globals()
    spelled = {name.replace(" ", ".", 1).replace("__builtin__", "builtins") for name in opcodes._ALLOWED}
    assert spelled <= set(known)


def test_tensors_that_cannot_be_pruned_are_told_from_code():
    assert unprunable("torch._utils _rebuild_sparse_tensor") == "a sparse tensor"
    assert unprunable("torch QInt8Storage") == "a quantised tensor"
    assert unprunable("torch FloatStorage") is None


def test_a_bomb_of_opcodes_stops_at_the_limit(monkeypatch):
    monkeypatch.setattr(opcodes, "MAX_OPCODES", 100)
    assert scan_pickle(b"N0" * 49 + b"N.").end == 100
    with pytest.raises(BrokenPickleError, match="more than 100"):
        scan_pickle(b"N0" * 50 + b"N.")


def test_the_largest_storage_is_read_and_memo_numbers_are_not():
    raw = b"\x80\x02(X\x07\x00\x00\x00storageK\x05tq\xf0Q."
    assert scan_pickle(raw).largest_storage == 5


@given(st.binary(max_size=200))
def test_any_bytes_give_a_scan_or_a_broken_pickle(raw):
    try:
        scan = scan_pickle(raw)
    except BrokenPickleError:
        return
    assert 0 < scan.end <= len(raw)


def test_globals_and_storages_without_end_stop_at_their_limits(monkeypatch):
    monkeypatch.setattr(opcodes, "MAX_GLOBALS", 3)
    monkeypatch.setattr(opcodes, "MAX_STORAGES", 3)
    size = b"ctorch\nSize\n0"
    assert len(scan_pickle(size * 3 + b"N.").globals) == 3
    with pytest.raises(BrokenPickleError, match="names more than 3 globals"):
        scan_pickle(size * 4 + b"N.")
    with pytest.raises(BrokenPickleError, match="more than 3 storages"):
        scan_pickle(b"NQ0" * 4 + b"N.")
