from __future__ import annotations

import pytest
import torch
from torch import Tensor

from prunecli.errors import InputRefused
from prunecli.training.mixing import Mixing, batch_mixer


def batch(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return images, torch.arange(6)


def test_mixup_mixes_images_as_their_labels() -> None:
    images, labels = batch()
    torch.manual_seed(1)
    mixed, soft = batch_mixer(Mixing(mixup=0.5), classes=7)(images, labels)
    assert soft.shape == (6, 7)
    weight = soft[0, 0]
    assert 0.01 < weight < 0.99
    for index in range(6):
        neighbour = (index - 1) % 6
        assert torch.allclose(mixed[index], weight * images[index] + (1 - weight) * images[neighbour])
        assert torch.allclose(soft[index, index], weight)
        assert torch.allclose(soft[index, neighbour], 1 - weight)


def test_cutmix_pastes_a_box_as_large_as_the_share_of_its_label() -> None:
    images, labels = batch()
    torch.manual_seed(3)
    mixed, soft = batch_mixer(Mixing(cutmix=1.0), classes=6)(images, labels)
    pasted = (mixed == images.roll(1, 0)).all(dim=1)
    kept = (mixed == images).all(dim=1)
    assert (pasted ^ kept).all()
    assert torch.equal(pasted[0], pasted[5])
    assert 0 < pasted[0].sum() < 64
    assert float(1 - soft[2, 2]) == pytest.approx(float(pasted[0].float().mean()))
    assert float(soft[2, 1]) == pytest.approx(float(pasted[0].float().mean()))


def test_with_both_each_is_drawn_half_of_the_time() -> None:
    images, labels = batch()
    mix = batch_mixer(Mixing(mixup=1.0, cutmix=1.0), classes=6)
    torch.manual_seed(0)
    found = [mix(images, labels)[0] for _ in range(200)]
    cut = [bool(((each == images) | (each == images.roll(1, 0))).all()) for each in found]
    assert 70 < sum(cut) < 130


def test_the_batch_that_was_given_stays_as_it_is() -> None:
    images, labels = batch()
    before = images.clone()
    for mixing in (Mixing(mixup=1.0), Mixing(cutmix=1.0)):
        batch_mixer(mixing, classes=6)(images, labels)
    assert torch.equal(images, before)
    assert torch.equal(labels, torch.arange(6))


def test_what_is_random_comes_from_the_global_generator() -> None:
    images, labels = batch()
    mix = batch_mixer(Mixing(mixup=0.2, cutmix=1.0), classes=6)
    found = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        found.append([mix(images, labels) for _ in range(4)])
    for (ours, our_labels), (theirs, their_labels) in zip(found[0], found[1], strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(our_labels, their_labels)
    assert not torch.equal(found[0][0][0], found[2][0][0])


def test_labels_have_the_type_of_the_images_and_add_up_to_one() -> None:
    images, labels = batch(torch.float64)
    mixed, soft = batch_mixer(Mixing(mixup=0.4), classes=6)(images, labels)
    assert mixed.dtype == soft.dtype == torch.float64
    assert torch.allclose(soft.sum(1), torch.ones(6, dtype=torch.float64))


def test_the_number_of_classes_is_the_mixings_own_or_that_of_the_data() -> None:
    images, labels = batch()
    assert batch_mixer(Mixing(mixup=1.0, classes=9), classes=6)(images, labels)[1].shape == (6, 9)
    assert batch_mixer(Mixing(mixup=1.0, classes=9), classes=None)(images, labels)[1].shape == (6, 9)
    with pytest.raises(InputRefused, match="number of classes is not known"):
        batch_mixer(Mixing(mixup=1.0), classes=None)


def test_alphas_of_zero_mix_nothing_and_negative_ones_are_refused() -> None:
    assert not Mixing()
    assert Mixing(mixup=0.1) and Mixing(cutmix=0.1)
    with pytest.raises(ValueError, match="negative"):
        Mixing(cutmix=-0.1)
