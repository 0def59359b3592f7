from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from prunecli.errors import WrongUse
from prunecli.training.augmentation import (
    RECIPES,
    check_augmentation,
    mirror,
    place_seed,
    plan_epoch,
    shift_and_mirror,
)
from prunecli.training.cropping import crop_and_resize


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
    assert (plan.down, plan.right, plan.mirrored, plan.boxes) == (None, None, None, None)
    images = numbered()
    assert plan.changed(images, slice(0, 5)) is images


def test_seeds_of_neighbours_share_nothing() -> None:
    seeds = {place_seed(seed, epoch) for seed in range(40) for epoch in range(40)}
    assert len(seeds) == 1600
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_plans_of_a_seed_stay_what_they_are() -> None:
    """A run that was begun with another version goes on with the same images."""
    plan = plan_epoch(6, image_shape=(3, 32, 32), augment="cifar", seed=3, epoch=7)
    assert plan.order.tolist() == [5, 0, 1, 3, 4, 2]
    assert plan.down is not None and plan.down.tolist() == [6, 3, 4, 5, 6, 2]
    assert plan.right is not None and plan.right.tolist() == [5, 0, 7, 6, 8, 7]
    assert plan.mirrored is not None and plan.mirrored.tolist() == [True, True, False, False, True, False]
    light = plan_epoch(6, image_shape=(3, 32, 32), augment="light", seed=3, epoch=7)
    assert light.down is not None and light.down.tolist() == [4, 4, 3, 1, 1, 1]
    assert light.right is not None and light.right.tolist() == [4, 0, 2, 0, 1, 3]


def test_a_plan_changes_the_images_of_a_part_as_it_says() -> None:
    images = numbered()
    part = slice(3, 8)
    cifar = plan_epoch(10, image_shape=(3, 6, 7), augment="cifar", seed=0, epoch=0)
    assert cifar.down is not None and cifar.right is not None and cifar.mirrored is not None
    wanted = shift_and_mirror(
        images, margin=1, down=cifar.down[3:8], right=cifar.right[3:8], mirrored=cifar.mirrored[3:8]
    )
    assert torch.equal(cifar.changed(images, part), wanted)
    imagenet = plan_epoch(10, image_shape=(3, 6, 7), augment="imagenet", seed=0, epoch=0)
    assert imagenet.boxes is not None and imagenet.mirrored is not None
    assert imagenet.mirrored[3:8].any() and not imagenet.mirrored[3:8].all()
    cropped = crop_and_resize(images, imagenet.boxes[3:8])
    assert torch.equal(imagenet.changed(images, part), mirror(cropped, imagenet.mirrored[3:8]))


def test_the_imagenet_recipe_crops_and_mirrors_and_does_not_shift() -> None:
    plan = plan_epoch(2000, image_shape=(3, 32, 32), augment="imagenet", seed=0, epoch=0)
    again = plan_epoch(2000, image_shape=(3, 32, 32), augment="imagenet", seed=0, epoch=0)
    assert plan.down is None and plan.right is None
    assert plan.boxes is not None and again.boxes is not None and plan.mirrored is not None
    assert plan.boxes.shape == (2000, 4)
    assert torch.equal(plan.boxes, again.boxes)
    assert 0.4 < plan.mirrored.float().mean() < 0.6


def test_mirror_turns_the_chosen_images_only() -> None:
    images = numbered(2)
    found = mirror(images, torch.tensor([False, True]))
    assert torch.equal(found[0], images[0])
    assert torch.equal(found[1], images[1].flip(2))


@pytest.mark.parametrize("name", ["none", "light", "cifar", "imagenet"])
def test_randaugment_is_added_by_name_and_changes_nothing_else_of_the_plan(name: str) -> None:
    check_augmentation(name + "+randaugment")
    plan = plan_epoch(20, image_shape=(3, 32, 32), augment=name, seed=1, epoch=2)
    more = plan_epoch(20, image_shape=(3, 32, 32), augment=name + "+randaugment", seed=1, epoch=2)
    assert not plan.randaugment and more.randaugment
    for field in ("order", "down", "right", "mirrored", "boxes"):
        ours, theirs = getattr(plan, field), getattr(more, field)
        assert theirs is None if ours is None else torch.equal(ours, theirs)
    assert more.to(torch.device("cpu")).randaugment


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    with pytest.raises(WrongUse, match="unknown augmentation 'cifar\\+randaugmet'") as refused:
        check_augmentation("cifar+randaugmet")
    assert refused.value.hints[0] == "did you mean 'cifar+randaugment'?"
    with pytest.raises(WrongUse):
        plan_epoch(5, image_shape=(3, 8, 8), augment="randaugment", seed=0, epoch=0)
