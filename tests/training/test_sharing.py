from __future__ import annotations

import pytest

from prunecli.errors import InputRefused
from prunecli.training.sharing import WHOLE, Share


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("images", [24, 25, 27, 31, 41, 47])
def test_the_parts_of_a_step_are_the_step(images: int, count: int) -> None:
    shares = [Share(index, count) for index in range(count)]
    assert len({share.steps(images, 4) for share in shares}) == 1
    seen: list[int] = []
    for step in range(shares[0].steps(images, 4)):
        parts = [range(images)[share.part(step, images, 4)] for share in shares]
        assert sum(map(len, parts)) == shares[0].size(step, images, 4)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        assert 2 <= min(map(len, parts)) <= max(map(len, parts)) <= 4
        seen += [place for part in parts for place in part]
    # In order, none twice; only images that would leave a process with fewer than two are left out.
    assert seen == list(range(len(seen)))
    assert images - len(seen) < 2 * count


def test_whole_steps_are_cut_into_blocks_and_the_last_into_equal_parts() -> None:
    first, second = Share(0, 2), Share(1, 2)
    assert first.steps(21, 4) == 3
    assert [first.part(step, 21, 4) for step in range(3)] == [slice(0, 4), slice(8, 12), slice(16, 18)]
    assert [second.part(step, 21, 4) for step in range(3)] == [slice(4, 8), slice(12, 16), slice(18, 21)]
    assert [first.size(step, 21, 4) for step in range(3)] == [8, 8, 5]


@pytest.mark.parametrize(("images", "steps"), [(16, 2), (17, 2), (19, 2), (20, 3)])
def test_a_last_step_that_leaves_a_process_one_image_is_left_out(images: int, steps: int) -> None:
    assert Share(1, 2).steps(images, 4) == steps


def test_a_set_too_small_for_two_images_each_is_one_step_all_the_same() -> None:
    assert WHOLE.steps(1, 4) == 1
    assert Share(2, 3).steps(4, 4) == 1
    assert [Share(index, 3).part(0, 4, 4) for index in range(3)] == [slice(0, 1), slice(1, 2), slice(2, 4)]


def test_fewer_images_than_processes_are_refused_in_all_of_them() -> None:
    for index in range(3):
        with pytest.raises(InputRefused, match="2 images cannot be shared among 3 processes"):
            Share(index, 3).steps(2, 4)


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0)])
def test_a_part_that_there_is_not_is_refused(index: int, count: int) -> None:
    with pytest.raises(ValueError, match="no part"):
        Share(index, count)
