from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from prunecli.training.augmentation import RECIPES, epoch_seed, plan_epoch, shift_and_mirror


def numbered(count: int = 5) -> Tensor:
    return torch.randint(1, 256, (count, 3, 6, 7), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_the_middle_window_changes_nothing() -> None:
    images = numbered()
    middle = torch.full((5,), 2)
    found = shift_and_mirror(images, margin=2, down=middle, right=middle, mirrored=torch.zeros(5).bool())
    assert torch.equal(found, images)
    assert found.dtype == torch.uint8


def test_each_image_is_padded_cut_and_mirrored_on_its_own() -> None:
    images = numbered()
    down, right = torch.tensor([0, 1, 4, 2, 3]), torch.tensor([4, 0, 2, 2, 1])
    mirrored = torch.tensor([False, True, False, True, True])
    found = shift_and_mirror(images, margin=2, down=down, right=right, mirrored=mirrored)
    for index in range(5):
        # The definition, an image at a time.
        padded = functional.pad(images[index], (2, 2, 2, 2))
        top, left = int(down[index]), int(right[index])
        window = padded[:, top : top + 6, left : left + 7]
        assert torch.equal(found[index], window.flip(2) if mirrored[index] else window)


def test_a_plan_comes_from_seed_and_epoch_alone() -> None:
    first = plan_epoch(50, image_shape=(3, 32, 32), augment="cifar", seed=3, epoch=7)
    torch.manual_seed(123)
    torch.rand(10)
    again = plan_epoch(50, image_shape=(3, 32, 32), augment="cifar", seed=3, epoch=7)
    for name in ("order", "down", "right", "mirrored"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    for seed, epoch in ((3, 8), (4, 7), (7, 3)):
        other = plan_epoch(50, image_shape=(3, 32, 32), augment="cifar", seed=seed, epoch=epoch)
        assert not torch.equal(first.order, other.order)
        assert not torch.equal(first.down, other.down)  # type: ignore[arg-type]


def test_a_plan_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    plan_epoch(50, image_shape=(3, 32, 32), augment="cifar", seed=3, epoch=7)
    assert torch.equal(torch.rand(3), wanted)


def test_the_order_holds_every_image_once_and_is_the_same_under_every_recipe() -> None:
    plans = [plan_epoch(100, image_shape=(1, 8, 8), augment=name, seed=1, epoch=0) for name in RECIPES]
    assert sorted(plans[0].order.tolist()) == list(range(100))
    assert all(torch.equal(plan.order, plans[0].order) for plan in plans)


@pytest.mark.parametrize(
    ("augment", "side", "margin", "mirrors"),
    [("light", 8, 1, False), ("light", 32, 2, False), ("cifar", 32, 4, True), ("cifar", 8, 1, True)],
)
def test_recipes_shift_by_at_most_their_margin(augment: str, side: int, margin: int, mirrors: bool) -> None:
    plan = plan_epoch(2000, image_shape=(3, side, side), augment=augment, seed=0, epoch=0)
    assert plan.down is not None and plan.right is not None and plan.mirrored is not None
    assert plan.margin == margin
    assert sorted(set(plan.down.tolist())) == sorted(set(plan.right.tolist())) == list(range(2 * margin + 1))
    assert (0.4 < plan.mirrored.float().mean() < 0.6) if mirrors else not plan.mirrored.any()
    assert not torch.equal(plan.down, plan.right)


def test_without_augmentation_there_is_only_an_order() -> None:
    plan = plan_epoch(10, image_shape=(3, 32, 32), augment="none", seed=0, epoch=0)
    assert (plan.down, plan.right, plan.mirrored) == (None, None, None)


def test_seeds_of_neighbours_share_nothing() -> None:
    seeds = {epoch_seed(seed, epoch) for seed in range(40) for epoch in range(40)}
    assert len(seeds) == 1600
    assert all(0 <= seed < 2**63 for seed in seeds)
