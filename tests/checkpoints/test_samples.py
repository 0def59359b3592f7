from __future__ import annotations

import pytest

from prunecli.checkpoints import samples
from prunecli.errors import InputRefused


def test_samples_are_found_by_name_inside_the_package_first(tmp_path, monkeypatch):
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    beside.mkdir()
    for name in ("plain.safetensors", "digits_resnet.safetensors", "notes.txt"):
        (beside / name).write_bytes(b"")
    monkeypatch.setattr(samples, "PLACES", (inside, beside))
    assert list(samples.sample_models()) == ["digits_resnet", "plain"]
    assert samples.default_sample() == beside / "digits_resnet.safetensors"
    inside.mkdir()
    (inside / "only.safetensors").write_bytes(b"")
    assert samples.default_sample() == inside / "only.safetensors"


def test_an_installation_without_samples_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "PLACES", (tmp_path,))
    with pytest.raises(InputRefused, match="holds no sample model"):
        samples.default_sample()
