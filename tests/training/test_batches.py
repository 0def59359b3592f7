from __future__ import annotations

import pytest
import torch
from torch import nn

from prunecli.data import Split, normalise
from prunecli.errors import InputRefused
from prunecli.training.augmentation import plan_epoch, shift_and_mirror
from prunecli.training.batches import Batches, floating_dtype


def batches_of(count: int, *, batch_size: int, dtype: torch.dtype = torch.float32) -> tuple[Split, Batches]:
    stream = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 8, 8), generator=stream).to(torch.uint8)
    split = Split(images, torch.arange(count))
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    return split, Batches(
        split, mean=mean, std=std, batch_size=batch_size, device=torch.device("cpu"), dtype=dtype
    )


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
