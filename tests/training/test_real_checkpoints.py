"""The CIFAR-10 checkpoints of ../shared/data on their images, where both are there."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
import torch

from prunecli.architectures import build, resolve
from prunecli.data import DataSet, open_data
from prunecli.training import evaluate

SHARED = Path(__file__).parents[2].parent / "shared" / "data"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SHARED / "cifar10.tar.xz").exists(), reason="no ../shared/data"),
]


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    unpacked = os.environ.get("PRUNECLI_CIFAR10")
    if unpacked is None:
        unpacked = str(tmp_path_factory.mktemp("cifar10"))
        with tarfile.open(SHARED / "cifar10.tar.xz") as archive:
            archive.extractall(unpacked, filter="data")
    return open_data(unpacked)


@pytest.mark.parametrize(
    ("name", "accuracy"), [("resnet20_cifar10jpeg.pt", 88.32), ("resnet20-12fca82f.th", 81.0)]
)
def test_published_checkpoints_reach_their_accuracy(cifar: DataSet, name: str, accuracy: float) -> None:
    assert (len(cifar.train), len(cifar.validation), len(cifar.test)) == (45000, 5000, 10000)
    stored = torch.load(SHARED / name, map_location="cpu", weights_only=True)["state_dict"]
    model = build(resolve("cifar/resnet20", arguments={"shortcut": "pad"}))
    model.load_state_dict({key.removeprefix("module."): value for key, value in stored.items()})
    found = evaluate(model, cifar.test, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert found.accuracy == pytest.approx(accuracy, abs=0.1)
    assert found.images == 10000
