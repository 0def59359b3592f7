"""The index file: written and read back, small, and complete."""

from __future__ import annotations

from importlib.resources import files

from prunecli.architectures.fingerprint import Probe, fingerprint
from prunecli.architectures.index import FILE, Entry, Index, read_index, shipped_index, write_index

ENTRY = Entry(
    "cifar/net",
    {"shortcut": "pad"},
    fingerprint({"fc.weight": (10, 4)}),
    classes=(Probe("fc.weight", 0),),
    channels=(Probe("conv.weight", 1, 2),),
    kin=3,
)


def test_an_index_is_read_as_it_was_written(tmp_path):
    index = Index((ENTRY,), {"cifar/net": "a line"}, {"cifar/net": (3, 32, 32)}, {"torch": "2.13"})
    size = write_index(tmp_path / FILE, index)
    packed = (tmp_path / FILE).read_bytes()
    assert len(packed) == size
    assert read_index(packed) == index
    write_index(tmp_path / "again", index)
    assert (tmp_path / "again").read_bytes() == packed


def test_lines_are_given_by_source():
    index = Index((), {"cifar/a": "A", "timm/b": "B"}, {}, {})
    assert index.lines_of("timm") == {"b": "B"}
    assert index.sources == {"cifar", "timm"}


def test_the_shipped_index_is_small_and_holds_all_sources():
    assert files("prunecli.architectures").joinpath(FILE).stat().st_size < 300_000
    index = shipped_index()
    assert index.sources == {"cifar", "digits", "torchvision", "timm", "transformers"}
    assert {"torch", "torchvision", "timm", "transformers"} == set(index.built_with)
    assert {entry.name for entry in index.entries} == set(index.lines) == set(index.input_shapes)
