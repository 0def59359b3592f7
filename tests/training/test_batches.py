from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from prunecli.data import ImageFiles, Split, normalise
from prunecli.data.pictures import PictureFiles
from prunecli.errors import InputRefused
from prunecli.training.augmentation import RECIPES, plan_epoch, shift_and_mirror
from prunecli.training.batches import Batch, Batches, Mixing, Share, floating_dtype
from prunecli.training.prefetching import THREAD_NAME
from prunecli.training.random_augment import random_augmenter

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
CPU = torch.device("cpu")


def split_of(count: int) -> Split:
    """Noise, and the number of the image as its label."""
    stream = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=stream).to(torch.uint8)
    return Split(images, torch.arange(count))


def batches_of(count: int, *, batch_size: int, dtype: torch.dtype = torch.float32) -> tuple[Split, Batches]:
    split = split_of(count)
    return split, Batches(split, mean=MEAN, std=STD, batch_size=batch_size, device=CPU, dtype=dtype)


def shares_of(split: Split, count: int, *, batch_size: int) -> list[Batches]:
    return [
        Batches(split, mean=MEAN, std=STD, batch_size=batch_size, device=CPU, share=Share(index, count))
        for index in range(count)
    ]


def same(ours: list[Batch], theirs: list[Batch]) -> bool:
    """Whether both are the same batches bit for bit."""
    return len(ours) == len(theirs) and all(
        torch.equal(mine, other)
        for pair in zip(ours, theirs, strict=True)
        for mine, other in zip(*pair, strict=True)
    )


def seed_by_step(step: int) -> None:
    torch.manual_seed(1000 + step)


def test_in_order_gives_every_image_once_normalised() -> None:
    split, batches = batches_of(11, batch_size=4)
    found = list(batches.in_order())
    assert [len(labels) for _, labels in found] == [4, 4, 3]
    assert torch.equal(torch.cat([labels for _, labels in found]), split.labels)
    wanted = normalise(split.images, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    assert torch.equal(torch.cat([images for images, _ in found]), wanted)


def test_by_plan_follows_the_order_and_augments_each_place() -> None:
    split, batches = batches_of(10, batch_size=4)
    plan = plan_epoch(10, image_shape=(3, 8, 8), augment="cifar", seed=0, epoch=0)
    found = list(batches.by_plan(plan))
    assert torch.equal(torch.cat([labels for _, labels in found]), plan.order)
    assert plan.down is not None and plan.right is not None and plan.mirrored is not None
    wanted = shift_and_mirror(
        split.images[plan.order], margin=1, down=plan.down, right=plan.right, mirrored=plan.mirrored
    )
    expected = normalise(wanted, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    assert torch.equal(torch.cat([images for images, _ in found]), expected)


@pytest.mark.parametrize(("count", "sizes"), [(9, [4, 4]), (10, [4, 4, 2]), (8, [4, 4]), (3, [3]), (1, [1])])
def test_a_last_batch_of_one_is_left_out(count: int, sizes: list[int]) -> None:
    _, batches = batches_of(count, batch_size=4)
    plan = plan_epoch(count, image_shape=(3, 8, 8), augment="none", seed=0, epoch=0)
    assert [len(labels) for _, labels in batches.by_plan(plan)] == sizes
    assert batches.steps() == len(sizes)


def test_batches_have_the_type_the_model_computes_in() -> None:
    _, batches = batches_of(2, batch_size=2, dtype=torch.float64)
    images, labels = next(batches.in_order())
    assert images.dtype == torch.float64
    assert labels.dtype == torch.int64
    assert floating_dtype(nn.Linear(2, 2).double()) == torch.float64
    assert floating_dtype(nn.ReLU()) == torch.float32


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(InputRefused, match="no images"):
        batches_of(0, batch_size=2)


def test_the_first_images_are_the_same_in_every_process() -> None:
    split = split_of(5)
    wanted = normalise(split.images[:3], MEAN, STD)
    for batches in shares_of(split, 2, batch_size=8):
        images, labels = batches.first(3)
        assert torch.equal(images, wanted)
        assert labels.tolist() == [0, 1, 2]
        assert len(batches.first(99)[0]) == 5


@pytest.mark.parametrize("augment", RECIPES)
def test_an_epoch_goes_on_in_the_middle_bit_for_bit(augment: str) -> None:
    _, batches = batches_of(27, batch_size=4)
    plan = plan_epoch(27, image_shape=(3, 8, 8), augment=augment, seed=0, epoch=3)
    mixing = Mixing(mixup=0.4, cutmix=1.0, classes=27)
    whole = list(batches.by_plan(plan, mixing=mixing, before=seed_by_step))
    assert len(whole) == 7
    for start in (0, 1, 4, 7):
        torch.manual_seed(start)
        rest = list(batches.by_plan(plan, start=start, mixing=mixing, before=seed_by_step))
        assert same(rest, whole[start:])


def test_what_is_to_be_done_before_a_step_is_done_before_anything_is_drawn() -> None:
    _, batches = batches_of(12, batch_size=4)
    plan = plan_epoch(12, image_shape=(3, 8, 8), augment="cifar+randaugment", seed=0, epoch=0)
    mixing = Mixing(mixup=0.4, classes=12)
    calls: list[int] = []

    def before(step: int) -> None:
        calls.append(step)
        seed_by_step(step)

    for step, _ in enumerate(batches.by_plan(plan, mixing=mixing, before=before)):
        assert calls == list(range(step + 1))
        torch.rand(step + 5)
    again = batches.by_plan(plan, mixing=mixing, before=seed_by_step)
    assert same(list(again), list(batches.by_plan(plan, mixing=mixing, before=before)))


def test_nothing_is_drawn_from_the_global_generator_without_randaugment_and_mixing() -> None:
    _, batches = batches_of(12, batch_size=4)
    plan = plan_epoch(12, image_shape=(3, 8, 8), augment="imagenet", seed=0, epoch=0)
    torch.manual_seed(0)
    wanted = torch.rand(3)
    torch.manual_seed(0)
    list(batches.by_plan(plan, mixing=Mixing()))
    assert torch.equal(torch.rand(3), wanted)


def test_randaugment_comes_after_the_geometry_and_before_the_normalisation() -> None:
    split, batches = batches_of(8, batch_size=8)
    plan = plan_epoch(8, image_shape=(3, 8, 8), augment="imagenet+randaugment", seed=0, epoch=0)
    images, _ = next(iter(batches.by_plan(plan, before=seed_by_step)))
    changed = plan.changed(split.images[plan.order], slice(0, 8))
    seed_by_step(0)
    wanted = normalise(random_augmenter((3, 8, 8))(changed), MEAN, STD)
    assert torch.equal(images, wanted)


def test_mixed_labels_are_shares_of_the_classes_of_the_split() -> None:
    split = split_of(6)
    known = Split(split.images, split.labels % 4, classes=5)
    batches = Batches(known, mean=MEAN, std=STD, batch_size=6, device=CPU, dtype=torch.float64)
    plan = plan_epoch(6, image_shape=(3, 8, 8), augment="none", seed=0, epoch=0)
    images, labels = next(iter(batches.by_plan(plan, mixing=Mixing(cutmix=1.0))))
    assert labels.shape == (6, 5)
    assert labels.dtype == images.dtype == torch.float64
    assert torch.allclose(labels.sum(1), torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("images", [24, 27, 29, 35])
def test_the_shares_of_a_step_are_the_step_of_one_process_with_the_larger_batch(
    images: int, count: int
) -> None:
    split = split_of(images)
    plan = plan_epoch(images, image_shape=(3, 8, 8), augment="cifar", seed=0, epoch=0)
    shares = shares_of(split, count, batch_size=4)
    alone = Batches(split, mean=MEAN, std=STD, batch_size=4 * count, device=CPU)
    steps = [list(batches.by_plan(plan)) for batches in shares]
    assert {len(each) for each in steps} == {batches.steps() for batches in shares} == {len(steps[0])}
    joined = [tuple(map(torch.cat, zip(*parts, strict=True))) for parts in zip(*steps, strict=True)]
    assert same(joined, list(alone.by_plan(plan))[: len(joined)])  # type: ignore[arg-type]
    assert [shares[1].global_size(step) for step in range(len(joined))] == [len(each[1]) for each in joined]
    assert all(len(labels) >= 2 for each in steps for _, labels in each)


@pytest.mark.parametrize("images", [3, 4, 10, 23, 24])
def test_in_order_every_image_is_in_one_share(images: int) -> None:
    split = split_of(images)
    found = [[labels.tolist() for _, labels in each.in_order()] for each in shares_of(split, 3, batch_size=4)]
    blocks = [list(range(start, min(start + 4, images))) for start in range(0, images, 4)]
    assert found == [blocks[index::3] for index in range(3)]


def on_disk(split: Split, folder: Path) -> tuple[Split, list[Path]]:
    """The same images as files, which keep every bit."""
    assert isinstance(split.images, Tensor)
    paths = [folder / f"{index}.png" for index in range(len(split))]
    for path, image in zip(paths, split.images, strict=True):
        Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(path)
    pictures = PictureFiles([str(path) for path in paths])
    files = ImageFiles(pictures, image_shape=split.image_shape, exact=True)
    return Split(files, split.labels, split.classes), paths


def readers() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith(THREAD_NAME)]


@pytest.mark.parametrize("augment", [name for name in RECIPES if "imagenet" not in name])
def test_images_on_disk_give_the_batches_of_images_in_memory(augment: str, tmp_path: Path) -> None:
    split, memory = batches_of(22, batch_size=4)
    files, _ = on_disk(split, tmp_path)
    disk = Batches(files, mean=MEAN, std=STD, batch_size=4, device=CPU)
    assert same(list(disk.in_order()), list(memory.in_order()))
    plan = plan_epoch(22, image_shape=(3, 8, 8), augment=augment, seed=0, epoch=1)
    mixing = Mixing(mixup=0.4, classes=22)
    for start in (0, 4):
        ours, theirs = (
            list(each.by_plan(plan, start=start, mixing=mixing, before=seed_by_step))
            for each in (disk, memory)
        )
        assert same(ours, theirs)
    assert readers() == []


def test_crops_of_images_on_disk_are_those_of_images_in_memory(tmp_path: Path) -> None:
    split = split_of(10)
    files, _ = on_disk(split, tmp_path)
    disk = Batches(files, mean=(0, 0, 0), std=(1 / 255,) * 3, batch_size=4, device=CPU)
    memory = Batches(split, mean=(0, 0, 0), std=(1 / 255,) * 3, batch_size=4, device=CPU)
    plan = plan_epoch(10, image_shape=(3, 8, 8), augment="imagenet", seed=0, epoch=1)
    for (ours, our_labels), (theirs, their_labels) in zip(
        disk.by_plan(plan), memory.by_plan(plan), strict=True
    ):
        assert torch.equal(our_labels, their_labels)
        assert (ours - theirs).abs().max() < 1.01  # in steps of brightness; Pillow rounds twice


ITERATORS: dict[str, Callable[[Batches], Iterator[Batch]]] = {
    "in order": lambda batches: batches.in_order(),
    "by plan": lambda batches: batches.by_plan(
        plan_epoch(len(batches), image_shape=(3, 8, 8), augment="none", seed=0, epoch=0)
    ),
}


@pytest.mark.parametrize("kind", ITERATORS)
def test_a_broken_file_is_named_at_the_batch_that_needs_it(kind: str, tmp_path: Path) -> None:
    files, paths = on_disk(split_of(24), tmp_path)
    disk = Batches(files, mean=MEAN, std=STD, batch_size=4, device=CPU)
    order = [label for _, labels in ITERATORS[kind](disk) for label in labels.tolist()]
    broken = paths[order[14]]
    broken.write_bytes(b"nothing of an image")
    seen: list[int] = []
    with pytest.raises(InputRefused, match=broken.name):
        for _, labels in ITERATORS[kind](disk):
            seen += labels.tolist()
    assert seen == order[:12]
    assert readers() == []


@pytest.mark.parametrize("kind", ITERATORS)
def test_leaving_an_epoch_of_images_on_disk_ends_the_thread(kind: str, tmp_path: Path) -> None:
    files, _ = on_disk(split_of(40), tmp_path)
    disk = Batches(files, mean=MEAN, std=STD, batch_size=4, device=CPU)
    for _ in ITERATORS[kind](disk):
        assert len(readers()) == 1
        break
    assert readers() == []
