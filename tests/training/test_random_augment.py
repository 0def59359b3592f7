from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from prunecli.errors import InputRefused, WorkFailed
from prunecli.training import random_augment
from prunecli.training.random_augment import (
    change_groups,
    load_transforms,
    random_augmenter,
    random_operations,
)

Change = Callable[[Tensor], Tensor]

# In the order of torchvision's table; those with a sign go up and down.
SIGNED = [
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
]
NAMES = ["Identity", *SIGNED, "Posterize", "Solarize", "AutoContrast", "Equalize"]
UNSIGNED = set(NAMES) - set(SIGNED)


def pictures(count: int, channels: int = 3, height: int = 16, width: int | None = None) -> Tensor:
    """Noise of another brightness and contrast in each image, so that what is one for all is seen."""
    stream = torch.Generator().manual_seed(0)
    shape = (count, channels, height, width or height)
    lowest = torch.linspace(0, 150, count)[:, None, None, None]
    span = torch.linspace(60, 105.9, count)[:, None, None, None]
    return (lowest + span * torch.rand(shape, generator=stream)).to(torch.uint8)


def operations(image_shape: tuple[int, int, int], strength: int) -> dict[str, tuple[Change, ...]]:
    found = random_operations(
        load_transforms("a test").functional, image_shape=image_shape, strength=strength
    )
    return dict(zip(NAMES, found, strict=True))


def theirs(name: str, sign: int, strength: int) -> Any:
    """torchvision's RandAugment, held to one operation; `sign` is that of a strength that has one."""
    transform = load_transforms("a test").RandAugment(num_ops=1, magnitude=strength)
    sizes, signed = transform._AUGMENTATION_SPACE[name]

    def held(bins: int, height: int, width: int) -> Any:
        found = sizes(bins, height, width)
        return sign * found if signed else found

    transform._AUGMENTATION_SPACE = {name: (held, False)}
    return transform


def test_the_operations_are_those_of_torchvision_and_have_a_sign_where_its_have_one() -> None:
    table = load_transforms("a test").RandAugment._AUGMENTATION_SPACE
    assert list(table) == NAMES
    assert {name for name, (_, signed) in table.items() if not signed} == UNSIGNED
    found = operations((3, 16, 16), 5)
    assert {name for name, changes in found.items() if len(changes) == 1} == UNSIGNED


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("channels", "height", "width"), [(3, 16, 16), (1, 16, 16), (3, 33, 50)])
@pytest.mark.parametrize("strength", [5, 9, 30])
def test_a_group_is_changed_as_torchvision_changes_each_image_alone(
    name: str, channels: int, height: int, width: int, strength: int
) -> None:
    images = pictures(9, channels, height, width)
    before = images.clone()
    changes = operations((channels, height, width), strength)[name]
    for sign, change in zip((1, -1), changes, strict=False):
        alone = theirs(name, sign, strength)
        # To the bit, at the borders too: the whole group has the same matrix.
        assert torch.equal(change(images), torch.stack([alone(image) for image in images]))
        assert torch.equal(images, before)


@pytest.mark.parametrize("name", ["Contrast", "AutoContrast", "Equalize"])
def test_what_is_made_of_a_whole_image_is_made_of_that_image_alone(name: str) -> None:
    images, change = pictures(8), operations((3, 16, 16), 9)[name][0]
    changed = change(images)
    assert not torch.equal(changed, images)
    assert torch.equal(change(images[:1]), changed[:1])
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None, None].expand(2, 3, 16, 16)
    assert torch.equal(change(torch.cat([images, black_and_white]))[:8], changed)


def test_colour_is_nothing_to_grey_images_and_what_is_uncovered_is_black() -> None:
    grey = pictures(3, channels=1)
    for change in operations((1, 16, 16), 9)["Color"]:
        assert torch.equal(change(grey), grey)
    white = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    right, left = operations((3, 32, 32), 9)["TranslateX"]
    pixels = math.floor(150 / 331 * 32 * 9 / 30)
    assert pixels == 4
    assert not right(white)[..., :pixels].any() and right(white)[..., pixels:].eq(255).all()
    assert not left(white)[..., -pixels:].any() and left(white)[..., :-pixels].eq(255).all()


def test_every_image_has_the_change_of_its_number_and_keeps_its_place() -> None:
    calls: list[int] = []

    def adding(amount: int) -> Change:
        def add(images: Tensor) -> Tensor:
            calls.append(amount)
            return images + amount

        return add

    images = torch.arange(6, dtype=torch.uint8).reshape(6, 1, 1, 1)
    numbers = torch.tensor([2, 0, 3, 2, 0, 3])
    found = change_groups(images, numbers, [adding(10), adding(20), adding(30), adding(40)])
    assert found.flatten().tolist() == [30, 11, 42, 33, 14, 45]
    assert calls == [10, 30, 40]


@pytest.mark.parametrize(("side", "places", "strength"), [(16, 3, 5), (63, 3, 5), (64, 2, 9)])
def test_each_image_gets_the_operations_and_signs_that_are_drawn_for_it(
    side: int, places: int, strength: int
) -> None:
    shape = (3, side, side)
    images, augment = pictures(40, height=side), random_augmenter(shape)
    torch.manual_seed(4)
    found = augment(images)
    torch.manual_seed(4)
    drawn = torch.randint(len(NAMES), (places, 40)).T.tolist()
    signs = torch.randint(2, (places, 40)).T.tolist()
    for image, ours, numbers, downs in zip(images, found, drawn, signs, strict=True):
        wanted = image
        for number, down in zip(numbers, downs, strict=True):
            wanted = theirs(NAMES[number], -1 if down else 1, strength)(wanted)
        assert torch.equal(ours, wanted)
    assert found.dtype == torch.uint8 and found.shape == images.shape


def test_operations_are_drawn_evenly_and_signs_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = torch.zeros(23, dtype=torch.int64)

    def count(images: Tensor, numbers: Tensor, changes: list[Change]) -> Tensor:
        assert len(changes) == len(counts)
        counts.add_(numbers.bincount(minlength=len(changes)))
        return images

    monkeypatch.setattr(random_augment, "change_groups", count)
    torch.manual_seed(0)
    random_augmenter((3, 8, 8))(pictures(1).expand(28_000, -1, -1, -1))
    sizes = [1 if name in UNSIGNED else 2 for name in NAMES]
    for name, group in zip(NAMES, counts.split(sizes), strict=True):
        assert group.sum().item() == pytest.approx(6000, rel=0.07), name  # 5 standard deviations
        assert group.tolist() == pytest.approx([6000 / len(group)] * len(group), rel=0.1), name


def test_the_seed_decides_and_nothing_that_was_done_before() -> None:
    images, augment = pictures(20), random_augmenter((3, 16, 16))
    torch.manual_seed(1)
    first, state = augment(images), torch.get_rng_state()
    assert not torch.equal(augment(images), first)
    torch.manual_seed(1)
    assert torch.equal(random_augmenter((3, 16, 16))(images), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_one_image_twice_in_a_batch_is_changed_in_two_ways() -> None:
    images = pictures(1).expand(10, 3, 16, 16)
    torch.manual_seed(0)
    found = random_augmenter((3, 16, 16))(images)
    assert len({tuple(image.flatten().tolist()) for image in found}) > 5


def test_grey_images_stay_grey() -> None:
    torch.manual_seed(0)
    assert random_augmenter((1, 16, 16))(pictures(30, channels=1)).shape == (30, 1, 16, 16)


def test_images_that_are_neither_grey_nor_rgb_are_refused() -> None:
    with pytest.raises(InputRefused, match="4 channels"):
        random_augmenter((4, 16, 16))


def test_a_missing_torchvision_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("No module named 'torchvision'")

    monkeypatch.setattr(random_augment, "load_torchvision", fail)
    with pytest.raises(WorkFailed, match="RandAugment cannot be had without") as failed:
        random_augmenter((3, 16, 16))
    assert failed.value.hints[0] == "No module named 'torchvision'"
