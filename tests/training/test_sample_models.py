from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from prunecli.architectures import build, resolve
from prunecli.checkpoints import default_sample, read_checkpoint, sample_models
from prunecli.data import open_data
from prunecli.training import evaluate

README = Path(__file__).parents[2] / "sample_models" / "README.md"
NAMES = ("mobilenet-digits", "resnet8-digits", "vgg6bn-digits")


def test_the_three_are_there_and_small_and_the_residual_one_is_the_default() -> None:
    assert tuple(sample_models()) == NAMES
    assert sum(path.stat().st_size for path in sample_models().values()) < 1_000_000
    assert default_sample().name == "resnet8-digits.safetensors"


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_what_its_document_and_the_readme_say(name: str) -> None:
    path = sample_models()[name]
    checkpoint = read_checkpoint(path)
    document = checkpoint.document
    assert document is not None
    described = document["architecture"]
    model = build(
        resolve(
            described["name"],
            arguments=described["arguments"],
            input_shape=tuple(described["input_shape"]),
        )
    )
    model.load_state_dict(checkpoint.tensors)
    data = open_data(document["data"])
    normalisation = document["normalisation"]
    found = evaluate(model, data.test, mean=normalisation["mean"], std=normalisation["std"])
    assert found.accuracy == pytest.approx(document["accuracy"], abs=0.5)  # one or two images elsewhere
    assert 97 <= found.accuracy < 100

    row = next(line for line in README.read_text(encoding="utf-8").splitlines() if f"`{path.name}`" in line)
    cells = [cell.strip(" `") for cell in row.strip("|").split("|")]
    assert cells[1] == described["name"]
    assert cells[2] == f"{document['accuracy']:.2f} %"
    assert int(re.sub(",", "", cells[3])) == sum(parameter.numel() for parameter in model.parameters())
    assert int(re.sub(",", "", cells[5])) == path.stat().st_size
    assert cells[6] == hashlib.sha256(path.read_bytes()).hexdigest()
