from __future__ import annotations

from pathlib import Path

import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from prunecli.data import ImageFiles, Split
from prunecli.data.pictures import PictureFiles
from prunecli.data.splitting import decoded, stratified_share, take


def test_a_tenth_of_every_class_is_set_aside() -> None:
    labels = torch.tensor([0] * 100 + [1] * 50 + [2] * 20)
    stay, aside = stratified_share(labels, share=0.1, seed=3)
    assert labels[aside].bincount().tolist() == [10, 5, 2]
    assert sorted([*stay.tolist(), *aside.tolist()]) == list(range(170))


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**40),
)
def test_both_sides_together_are_the_whole_and_every_class_keeps_an_image(
    labels: list[int], share: float, seed: int
) -> None:
    tensor = torch.tensor(labels)
    stay, aside = stratified_share(tensor, share=share, seed=seed)
    assert sorted([*stay.tolist(), *aside.tolist()]) == list(range(len(labels)))
    assert stay.tolist() == sorted(stay.tolist())
    assert set(tensor[stay].tolist()) == set(labels)
    assert set(tensor[aside].tolist()) == {label for label in labels if labels.count(label) > 1}


def test_the_seed_alone_decides() -> None:
    labels = torch.arange(200) % 4
    first = stratified_share(labels, share=0.2, seed=1)[1]
    torch.manual_seed(99)
    assert torch.equal(first, stratified_share(labels, share=0.2, seed=1)[1])
    assert not torch.equal(first, stratified_share(labels, share=0.2, seed=2)[1])


def test_take_copies() -> None:
    split = Split(torch.arange(8, dtype=torch.uint8).reshape(4, 1, 2, 1), torch.arange(4), 4)
    part = take(split, torch.tensor([1, 3]))
    split.images.zero_()
    assert part.images.flatten().tolist() == [2, 3, 6, 7]
    assert part.labels.tolist() == [1, 3]
    assert part.classes == 4


def test_take_leaves_on_disk_what_is_there_and_decoded_does_not(tmp_path: Path) -> None:
    for index in range(4):
        Image.new("L", (2, 2), index * 10).save(tmp_path / f"{index}.png")
    files = PictureFiles([str(tmp_path / f"{index}.png") for index in range(4)])
    split = Split(ImageFiles(files, image_shape=(1, 2, 2)), torch.arange(4), 4)
    part = take(split, torch.tensor([3, 1]))
    assert not part.in_memory
    block = decoded(part, torch.tensor([1]))
    assert block.in_memory
    assert block.images.unique().tolist() == [10]
    assert (part.labels.tolist(), block.labels.tolist(), block.classes) == ([3, 1], [1], 4)
    assert decoded(block, torch.tensor([0])).in_memory
