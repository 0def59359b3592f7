"""Ranks and nuclear norms of feature maps against singular values."""

from __future__ import annotations

import networks
import pytest
import torch
from calibration.scenes import Block, data, gathered, one_by_one, scene_of, whole
from calibration.test_activations import Tokens, maps_of

from prunecli.calibration import maps
from prunecli.calibration.maps import map_ranks, nuclear_drops, positive_eigenvalues, sampled_images
from prunecli.criteria.contract import Needs

GENERATOR = torch.Generator().manual_seed(0)


def drawn(*shape):
    return torch.randn(*shape, generator=GENERATOR)


def of_rank(rank, height, width, count=5):
    """Matrices of small whole numbers, so that their rank is exact."""
    left, right = (
        torch.randint(-2, 3, shape, generator=GENERATOR).float()
        for shape in ((count, height, rank), (count, rank, width))
    )
    left[:, :rank, :rank] += 7 * torch.eye(rank)
    right[:, :rank, :rank] += 7 * torch.eye(rank)
    return left @ right


MATRICES = {
    "full": drawn(6, 9, 9),
    "wide": drawn(6, 5, 12),
    "tall": drawn(6, 12, 5),
    "rank 3 of 9": of_rank(3, 9, 9),
    "rank 4, wide": of_rank(4, 6, 20),
    "rank 1": of_rank(1, 7, 7),
    "rectified": drawn(50, 14, 14).sub(1.5).relu(),
    "row of zeros": drawn(4, 8, 8).index_fill(1, torch.tensor([2, 5]), 0.0),
    "huge": drawn(4, 6, 6) * 1e25,
    "tiny": drawn(4, 6, 6) * 1e-25,
    "one number": drawn(3, 1, 1),
    "large": drawn(8, 40, 40).relu(),
    "identity": torch.eye(30).repeat(2, 1, 1),
    "graded": torch.diag_embed(torch.logspace(0, -9, 10)).repeat(2, 1, 1),
}


@pytest.mark.parametrize("case", MATRICES)
def test_ranks_are_those_of_singular_values(case):
    given = MATRICES[case]
    tolerance = max(given.shape[1:]) * torch.finfo(torch.float32).eps
    assert map_ranks(given).tolist() == torch.linalg.matrix_rank(given.double(), rtol=tolerance).tolist()


def test_silent_maps_have_no_rank_beside_others():
    given = drawn(5, 4, 6)
    given[[1, 3]] = 0
    assert map_ranks(given).tolist() == [4, 0, 4, 0, 4]


def test_ranks_of_blocks_are_ranks_of_all(monkeypatch):
    given = torch.cat([of_rank(rank, 8, 8, count=3) for rank in (1, 5, 8)])
    monkeypatch.setattr(maps, "BLOCK_ENTRIES", 128)
    assert map_ranks(given).tolist() == [1] * 3 + [5] * 3 + [8] * 3


def test_positive_eigenvalues_are_counted_through_pivots_of_two_rows():
    halves = drawn(40, 6, 6).double()
    given = torch.cat(
        [torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double().kron(torch.eye(3))[None], halves + halves.mT]
    )
    expected = (torch.linalg.eigvalsh(given) > 0).sum(1)
    assert positive_eigenvalues(given).tolist() == expected.tolist()


def naive(rows):
    rows = rows.double()
    norm = torch.linalg.matrix_norm(rows, ord="nuc")
    without = [rows.index_fill(0, torch.tensor([row]), 0.0) for row in range(len(rows))]
    return torch.stack([norm - torch.linalg.matrix_norm(each, ord="nuc") for each in without])


def duplicated(rows):
    rows = rows.clone()
    rows[3] = rows[1]
    return rows


ROWS = {
    "more positions": drawn(12, 40),
    "more channels": drawn(40, 12),
    "as many": drawn(20, 20),
    "one channel": drawn(1, 30),
    "one position": drawn(30, 1),
    "equal rows": duplicated(drawn(12, 40)),
    "equal rows, more channels": duplicated(drawn(40, 12)),
    "rank 3": of_rank(3, 12, 40)[0],
    "rank 3, more channels": of_rank(3, 40, 12)[0],
    "orthogonal": torch.cat([torch.eye(5, 12), torch.eye(12)[4:5]]),
    "rectified": drawn(30, 49).sub(0.5).relu(),
    "loud and soft": drawn(12, 40) * torch.logspace(-2, 2, 12)[:, None],
    "huge": drawn(8, 20) * 1e20,
}


@pytest.mark.parametrize("case", ROWS)
def test_falls_of_the_nuclear_norm_are_those_of_singular_values(case):
    torch.testing.assert_close(nuclear_drops(ROWS[case]), naive(ROWS[case]), rtol=1e-6, atol=0)


def test_a_silent_row_adds_nothing_and_a_copy_less_than_its_original_alone():
    rows = drawn(6, 20)
    rows[2] = 0
    drops = nuclear_drops(rows)
    torch.testing.assert_close(drops, naive(rows), rtol=1e-6, atol=1e-12)
    assert drops[2] == 0
    rows[2] = rows[4]
    assert nuclear_drops(rows)[4] < drops[4]
    assert nuclear_drops(torch.zeros(4, 5)).tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("images", "most", "expected"), [(3, 8, [0, 1, 2]), (8, 8, list(range(8))), (20, 4, [0, 5, 10, 15])]
)
def test_images_are_sampled_evenly(images, most, expected):
    assert sampled_images(images, most) == expected


@pytest.mark.parametrize(
    ("make", "layer", "module"),
    [(Block, "conv1", "relu1"), (Block, "conv2", "bn2"), (networks.Plain, "conv2", "conv2")],
)
def test_layers_are_seen_through_their_maps(make, layer, module):
    scene, batches = scene_of(make()), data()
    found = gathered(scene, batches, Needs.MAP_RANK, Needs.NUCLEAR_DROP)[layer]
    (seen,) = maps_of(scene, module, batches)
    ranks = [torch.linalg.matrix_rank(image.unflatten(1, (8, 8)).float()) for image in seen]
    torch.testing.assert_close(found["map_rank"], torch.stack(ranks).float().mean(0))
    drops = torch.stack([naive(image) for image in seen]).mean(0)
    torch.testing.assert_close(found["nuclear_drop"].double(), drops, rtol=1e-5, atol=1e-7)


def test_only_two_dimensional_maps_have_ranks():
    found = gathered(scene_of(Tokens()), data(), Needs.MAP_RANK, Needs.NUCLEAR_DROP)
    assert found["embed"]["map_rank"].shape == (4,)
    assert "map_rank" not in found["linear"]
    assert "map_rank" not in found["head"]
    assert found["linear"]["nuclear_drop"].shape == (7,)
    assert found["head"]["nuclear_drop"].shape == (5,)


def test_the_sample_is_the_same_however_images_are_batched():
    scene, batches = scene_of(Block(), images=70), data(70, sizes=(31, 39))
    at_once = gathered(scene, whole(batches), Needs.MAP_RANK, Needs.NUCLEAR_DROP)
    one_each = gathered(scene, one_by_one(batches), Needs.MAP_RANK, Needs.NUCLEAR_DROP)
    (seen,) = maps_of(scene, "relu1", batches)
    ranks = [torch.linalg.matrix_rank(seen[at].unflatten(1, (8, 8)).float()) for at in sampled_images(70, 16)]
    for found in (at_once, one_each):
        torch.testing.assert_close(found["conv1"]["map_rank"], torch.stack(ranks).float().mean(0))
        torch.testing.assert_close(found["conv1"]["nuclear_drop"], at_once["conv1"]["nuclear_drop"])
