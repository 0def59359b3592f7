"""The race for the lowest loss: whom it lets go, how it estimates, and that it ends where all images do."""

from __future__ import annotations

import numpy as np
import pytest

from prunecli.strategies.procedures.racing import FIRST_LOOK, SAME_FROM, STRATA, Race

IMAGES = 2000


def made_losses(apart, *, images=IMAGES, seed=0):
    """Losses as trained networks have them: a tenth of the images makes nearly all of the sum."""
    random = np.random.RandomState(seed)
    now = np.where(
        random.rand(images) < 0.1, random.exponential(1.0, images), random.exponential(0.002, images)
    )
    noise = random.normal(0.0, 0.3, (len(apart), images)) * np.sqrt(now)
    return now, np.maximum(0.0, now * (1 + np.array(apart)[:, None]) + noise * now)


def run(race, losses):
    """Race on the made losses; how many losses were looked up."""
    count = 0
    while not race.over:
        places = race.next_places()
        count += len(race.alive) * len(places)
        race.see(places, {number: losses[number, places] for number in race.alive})
        race.look()
    return count


def test_the_lowest_wins_with_a_part_of_the_work():
    now, losses = made_losses([0.5, 0.0, 0.6, 0.8, 1.0, 0.4, 0.7, 0.9])
    race = Race(8, now)
    count = run(race, losses)
    assert race.leader() == losses.mean(axis=1).argmin() == 1
    assert count < losses.size / 4


@pytest.mark.parametrize("seed", range(20))
def test_it_ends_where_all_images_would(seed):
    now, losses = made_losses(np.linspace(0.0, 0.6, 12), seed=seed)
    race = Race(12, now, seed=seed)
    run(race, losses)
    means = losses.mean(axis=1)
    assert means[race.leader()] <= means.min() * 1.01


def test_whoever_is_left_after_all_images_is_compared_exactly():
    now = np.random.RandomState(0).exponential(1.0, 300)
    # Each is better on the other half of the images: no part of them says which is better in all.
    swing = np.where(np.arange(300) % 2, 1.0, -1.0)
    losses = np.stack([now + 2 + swing + 0.001, now + 2 - swing])
    race = Race(2, now)
    assert run(race, losses) == losses.size
    assert race.seen == 300
    assert race.leader() == losses.mean(axis=1).argmin()
    assert race.means() == pytest.approx(losses.mean(axis=1))


def test_equal_ones_do_not_race_to_the_end_and_the_first_of_them_wins():
    now, losses = made_losses([0.3, 0.0, 0.3])
    losses[2] = losses[1] * (1 - 1e-9)  # but for rounding
    race = Race(3, now)
    run(race, losses)
    assert race.alive == [1]
    assert SAME_FROM <= race.seen < IMAGES


def test_fewer_images_than_a_look_takes_are_all_seen():
    now, losses = made_losses([0.0, 5.0], images=FIRST_LOOK - 1)
    race = Race(2, now)
    run(race, losses)
    assert race.seen == FIRST_LOOK - 1


def test_of_every_stratum_as_many_images_are_seen_until_it_is_used_up():
    now, losses = made_losses([0.0, 0.0])
    race = Race(2, now)
    places = race.next_places()
    assert FIRST_LOOK <= len(places) < FIRST_LOOK + STRATA
    assert len(set(places.tolist())) == len(places)
    # A tenth of the images makes nearly all of the loss, and much more than a tenth of the look.
    assert np.mean(now[places] > 0.02) > 0.4
    race.see(places, {number: losses[number, places] for number in (0, 1)})
    again = race.next_places()
    assert not set(again.tolist()) & set(places.tolist())


def test_the_estimate_is_of_all_images_not_of_those_that_were_seen():
    """The images that are seen first have much higher losses than all have."""
    found = []
    for seed in range(50):
        now, losses = made_losses([0.0], seed=seed)
        race = Race(1, now, seed=seed)
        places = race.next_places()
        race.see(places, {0: losses[0, places]})
        assert losses[0, places].mean() > 2 * losses[0].mean()
        found.append(float(race.means()[0] / losses[0].mean()))
    assert np.mean(found) == pytest.approx(1.0, abs=0.03)


def test_the_same_seed_sees_the_same_images():
    now, _ = made_losses([0.0])
    first, again, other = (Race(2, now, seed=seed).next_places().tolist() for seed in (3, 3, 4))
    assert first == again != other


def test_losses_that_are_not_finite_lose():
    now, losses = made_losses([0.0, 0.2])
    now[5] = np.nan
    losses[0] = 1e6
    race = Race(2, now)
    run(race, losses)
    assert race.leader() == 1
