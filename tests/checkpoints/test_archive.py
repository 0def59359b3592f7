from __future__ import annotations

import struct
import zipfile

import pytest
import torch

from prunecli.checkpoints.reading import read_checkpoint
from prunecli.errors import InputRefused


def keep(new, name, content):
    new.writestr(zipfile.ZipInfo(name), content)


def test_a_file_of_torch_and_one_written_again_by_zipfile_are_read(save, rezip, weights):
    path = save(weights)
    again = rezip(path, keep)
    assert torch.equal(read_checkpoint(again).tensors["conv1.weight"], weights["conv1.weight"])


@pytest.mark.parametrize("where", range(12))
def test_a_flipped_bit_in_a_weight_or_the_pickle_is_refused(save, weights, where):
    path = save(weights)
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if info.file_size > 16]
    info = infos[where % len(infos)]
    content = bytearray(path.read_bytes())
    named, extra = struct.unpack_from("<2H", content, info.header_offset + 26)
    content[info.header_offset + 30 + named + extra + where] ^= 1 << (where % 8)
    path.write_bytes(content)
    with pytest.raises(InputRefused, match=r"the checksum of .* is not the one stored"):
        read_checkpoint(path)


def test_a_cut_off_file_says_where_it_ends(save, weights):
    path = save(weights)
    whole = path.read_bytes()
    path.write_bytes(whole[:1500])
    with pytest.raises(InputRefused, match=r"is cut off: it ends at 1,500 bytes"):
        read_checkpoint(path)


def test_deflated_members_are_refused(save, rezip, weights):
    def deflate(new, name, content):
        new.writestr(name, content, compress_type=zipfile.ZIP_DEFLATED)

    with pytest.raises(InputRefused, match="compressed"):
        read_checkpoint(rezip(save(weights), deflate))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["model/data.pkl", "model/DATA.PKL", "other/data.pkl"])
def test_a_second_pickle_is_refused(save, rezip, weights, second):
    def twice(new, name, content):
        keep(new, name, content)
        if name == "model/data.pkl":
            keep(new, second, content)

    with pytest.raises(InputRefused, match="twice"):
        read_checkpoint(rezip(save(weights), twice))


def test_names_that_differ_in_the_two_directories_are_refused(save, rezip, weights):
    path = rezip(save(weights), keep)
    content = path.read_bytes().replace(b"model/data.pkl", b"model/date.pkl", 1)
    path.write_bytes(content)
    with pytest.raises(InputRefused, match="otherwise in its two directories"):
        read_checkpoint(path)


def test_bytes_before_the_archive_and_overlapping_members_are_refused(save, rezip, weights):
    path = rezip(save(weights), keep)
    whole = path.read_bytes()
    path.write_bytes(b"PK\x03\x04" + b"x" * 60 + whole)
    with pytest.raises(InputRefused, match=r"overlapping|two directories|cannot be read"):
        read_checkpoint(path)
    # Let the second member of the directory point at the first.
    content = bytearray(whole)
    second = whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02") + 1)
    struct.pack_into("<L", content, second + 42, 0)
    path.write_bytes(content)
    with pytest.raises(InputRefused):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_unsafe_names_are_refused(save, rezip, weights):
    def climb(new, name, content):
        keep(new, name, content)
        if name.endswith("version"):
            keep(new, "model/../../x", b"")

    with pytest.raises(InputRefused, match="unsafe name"):
        read_checkpoint(rezip(save(weights), climb))


def test_more_than_ten_thousand_members_are_refused(tmp_path):
    path = tmp_path / "many.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(10_001):
            archive.writestr(zipfile.ZipInfo(f"m/{number}"), b"")
    with pytest.raises(InputRefused, match="10,001 zip members"):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_a_program_even_when_trusted(tmp_path):
    path = tmp_path / "script.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(path))
    for trust in (None, "0" * 64):
        with pytest.raises(InputRefused, match="is a program, not weights: TorchScript"):
            read_checkpoint(path, trust_pickle=trust)


def test_an_exported_program_and_other_zips_are_named(tmp_path):
    names = {
        "x/archive_format": "an exported program",
        "x/notes.txt": "a zip archive",
        "x/a.npy": "a NumPy archive",
    }
    for name, words in names.items():
        path = tmp_path / "some.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"pt2")
        with pytest.raises(InputRefused, match=words):
            read_checkpoint(path)
