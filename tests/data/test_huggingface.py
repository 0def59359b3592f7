from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from prunecli.data import open_data
from prunecli.errors import InputRefused, WrongUse

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and a cache of its own."""

    def refused(self: socket.socket, address: object) -> None:
        raise AssertionError(f"something reaches for {address}")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))


def features(**more: Any) -> Any:
    kinds = {"id": datasets.Value("int64"), "img": datasets.Image()}
    return datasets.Features({**kinds, "label": datasets.ClassLabel(names=["ant", "cat"]), **more})


def part(count: int, blue: int, *, kinds: Any = None, labels: list[int | None] | None = None) -> Any:
    """`count` images of 3x4x5: red = class · 100, green = index, blue as given."""
    labels = [index % 2 for index in range(count)] if labels is None else labels
    blocks = [np.full((4, 5, 3), (index % 2 * 100, index, blue), np.uint8) for index in range(count)]
    images = [Image.fromarray(block) for block in blocks]
    kinds = kinds or features()
    columns: dict[str, Any] = {"id": list(range(count)), "img": images, "label": labels}
    columns |= {name: labels for name in kinds if name not in columns}
    return datasets.Dataset.from_dict({name: columns[name] for name in kinds}, features=kinds)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def save(**parts: Any) -> Path:
        folder = tmp_path / "saved"
        datasets.DatasetDict(parts).save_to_disk(folder)
        return folder

    return save


def blues(data: Any) -> list[list[int]]:
    parts = (data.train, data.validation, data.test)
    return [each.pixels(slice(None))[:, 2].unique().tolist() for each in parts]


def test_a_folder_of_save_to_disk(save: Callable[..., Path]) -> None:
    data = open_data(f"hf:{save(train=part(10, 0), test=part(4, 1))}", validation_share=0.2)
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 2, 4)
    assert data.classes == ("ant", "cat")
    assert data.test.images[:, 1, 0, 0].tolist() == [0, 1, 2, 3]
    for each in (data.train, data.validation, data.test):
        assert (each.images[:, 0, 0, 0] // 100).tolist() == each.labels.tolist()
        assert each.classes == 2
    assert blues(data) == [[0], [0], [1]]
    assert (data.mean[0], data.std[0]) == (round(50 / 255, 4), round(50 / 255, 4))
    assert data.notes == ()


def test_it_may_stay_on_disk_and_take_the_models_shape(save: Callable[..., Path]) -> None:
    spec = f"hf:{save(train=part(10, 0), test=part(4, 1))}"
    whole = open_data(spec, image_shape=(3, 2, 2), seed=1)
    data = open_data(spec, image_shape=(3, 2, 2), seed=1, on_disk=True)
    assert not data.train.in_memory
    for name in ("train", "validation", "test"):
        memory, disk = getattr(whole, name), getattr(data, name)
        assert torch.equal(disk.pixels(slice(None)), memory.images)
        assert torch.equal(disk.labels, memory.labels)


def test_a_folder_of_parquet_files(tmp_path: Path) -> None:
    part(6, 0).to_parquet(tmp_path / "train.parquet")
    part(4, 1).to_parquet(tmp_path / "validation.parquet")
    data = open_data(f"hf:{tmp_path}")
    assert blues(data) == [[0], [0], [1]]
    assert data.classes == ("ant", "cat")


def test_a_folder_of_image_files(tmp_path: Path) -> None:
    for number, name in enumerate(("train", "test")):
        for label, kind in enumerate(("ant", "cat")):
            (tmp_path / name / kind).mkdir(parents=True)
            for index in range(3):
                pixels = np.full((4, 5, 3), (label * 100, index, number), np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / kind / f"{index}.png")
    data = open_data(f"hf:{tmp_path}")
    assert blues(data) == [[0], [0], [1]]
    assert (data.test.images[:, 0, 0, 0] // 100).tolist() == data.test.labels.tolist()
    (tmp_path / "test" / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(InputRefused, match=r"cat/1\.png, image 4 of the test part of .*, is not a readable"):
        open_data(f"hf:{tmp_path}")


def test_validation_is_its_own_part_where_all_three_are_there(save: Callable[..., Path]) -> None:
    data = open_data(f"hf:{save(train=part(6, 0), valid=part(4, 2), test=part(4, 1))}")
    assert blues(data) == [[0], [2], [1]]
    assert len(data.train) == 6


def test_a_test_part_without_labels_gives_way_to_the_validation_part(save: Callable[..., Path]) -> None:
    folder = save(train=part(10, 0), validation=part(4, 2), test=part(4, 1, labels=[-1] * 4))
    data = open_data(f"hf:{folder}")
    assert blues(data) == [[0], [0], [2]]
    assert data.notes == (f"the part test of hf:{folder} has no labels: validation is the test part",)


def test_of_several_columns_the_first_is_taken_and_said(save: Callable[..., Path]) -> None:
    kinds = features(coarse=datasets.ClassLabel(names=["animal", "thing"]))
    folder = save(train=part(6, 0, kinds=kinds), test=part(4, 1, kinds=kinds))
    data = open_data(f"hf:{folder}")
    assert data.classes == ("ant", "cat")
    assert data.notes == (f"hf:{folder} has several columns of class labels (label, coarse): taking label",)


def test_what_has_no_images_or_no_classes_is_refused(save: Callable[..., Path], tmp_path: Path) -> None:
    kinds = features(label=datasets.Value("int64"))
    folder = save(train=part(4, 0, kinds=kinds), test=part(4, 1, kinds=kinds))
    with pytest.raises(InputRefused, match="has no column of class labels") as caught:
        open_data(f"hf:{folder}")
    assert caught.value.hints == ("its columns: id (int64), img (PIL.Image.Image), label (int64)",)
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "train.txt").write_text("a word\n")
    with pytest.raises(InputRefused, match="has no column of images"):
        open_data(f"hf:{tmp_path / 'words'}")


def test_missing_parts_are_refused_with_those_there_are(save: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="has no part test or validation") as caught:
        open_data(f"hf:{save(train=part(4, 0), extra=part(4, 1))}")
    assert caught.value.hints == ("its parts: train, extra",)
    part(4, 0).save_to_disk(tmp_path / "one")
    with pytest.raises(InputRefused, match="is one part, not a training and a test part"):
        open_data(f"hf:{tmp_path / 'one'}")
    datasets.DatasetDict(test=part(4, 0)).save_to_disk(tmp_path / "test only")
    with pytest.raises(InputRefused, match="has no part train"):
        open_data(f"hf:{tmp_path / 'test only'}")


def test_parts_that_do_not_fit_each_other_are_refused(save: Callable[..., Path]) -> None:
    other = features(label=datasets.ClassLabel(names=["ant", "dog"]))
    with pytest.raises(InputRefused, match=r"test part of .* has other classes than the training part"):
        open_data(f"hf:{save(train=part(4, 0), test=part(4, 1, kinds=other))}")


def test_a_missing_label_or_image_is_named(save: Callable[..., Path]) -> None:
    folder = save(train=part(4, 0), test=part(4, 1, labels=[0, 1, None, 1]))
    with pytest.raises(InputRefused, match=r"image 2 of the test part of .* has no label"):
        open_data(f"hf:{folder}")


def test_a_missing_image_is_named(save: Callable[..., Path]) -> None:
    rows = [{"id": index, "img": Image.new("L", (2, 2)), "label": index % 2} for index in range(4)]
    rows[1]["img"] = None
    holes = datasets.Dataset.from_list(rows, features=features())
    with pytest.raises(InputRefused, match=r"image 1 of the train part of .* is not there"):
        open_data(f"hf:{save(train=holes, test=part(4, 1))}")


def test_corrupt_images_are_named_or_left_out(save: Callable[..., Path]) -> None:
    good = part(200, 0).cast_column("img", datasets.Image(decode=False))
    rows = good.to_list()
    rows[17]["img"]["bytes"] = rows[17]["img"]["bytes"][:40]
    bad = datasets.Dataset.from_list(rows, features=good.features).cast_column("img", datasets.Image())
    folder = save(train=bad, test=part(4, 1))
    with pytest.raises(InputRefused, match=r"image 17 of the train part of hf:.* is not a readable image"):
        open_data(f"hf:{folder}")
    data = open_data(f"hf:{folder}", skip_bad=True)
    assert len(data.train) + len(data.validation) == 199
    assert "image 17 of the train part" in data.notes[0]


def test_a_card_cannot_send_it_to_the_network(tmp_path: Path) -> None:
    part(4, 0).to_parquet(tmp_path / "train.parquet")
    part(4, 1).to_parquet(tmp_path / "test.parquet")
    card = "---\nlicense_link: https://example.org\nconfigs:\n- config_name: default\n  data_files:\n{}---\nhttps://\n"
    files = "  - split: train\n    path: train.parquet\n  - split: test\n    path: {}test.parquet\n"
    (tmp_path / "README.md").write_text(card.format(files.format("")))
    assert len(open_data(f"hf:{tmp_path}").test) == 4
    (tmp_path / "README.md").write_text(card.format(files.format("https://127.0.0.1:9/")))
    with pytest.raises(InputRefused, match=r"README\.md names files by an address"):
        open_data(f"hf:{tmp_path}")


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="there is no folder"):
        open_data(f"hf:{tmp_path / 'absent'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputRefused, match="empty cannot be opened"):
        open_data(f"hf:{tmp_path / 'empty'}")


@pytest.mark.parametrize("spec", ["hf", "hf:"])
def test_no_name_is_wrong_use(spec: str) -> None:
    with pytest.raises(WrongUse, match="not followed by a folder or a name"):
        open_data(spec)


@pytest.mark.parametrize(
    ("argument", "name", "configuration"),
    [("beans", "beans", None), ("ours/flowers:small", "ours/flowers", "small")],
)
def test_a_name_of_the_hub_is_asked_for_by_the_package(
    monkeypatch: pytest.MonkeyPatch, argument: str, name: str, configuration: str | None
) -> None:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(*given: Any) -> Any:
        asked.append(given)
        return datasets.DatasetDict(train=part(4, 0), test=part(4, 1))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert len(open_data(f"hf:{argument}").test) == 4
    assert asked == [(name, configuration)]


def test_the_packages_bars_are_as_before(save: Callable[..., Path]) -> None:
    folder = save(train=part(4, 0), test=part(4, 1))
    datasets.enable_progress_bars()
    open_data(f"hf:{folder}")
    assert not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    open_data(f"hf:{folder}")
    assert datasets.are_progress_bars_disabled()
    datasets.enable_progress_bars()


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputRefused, match="the package datasets is not installed") as caught:
        open_data("hf:beans")
    assert caught.value.hints == ("install it with: pip install 'prunecli[data]'",)
