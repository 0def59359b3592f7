"""How the way to a ratio is divided: the known answers of the methods' paper and arithmetic."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

from prunecli.errors import WrongUse
from prunecli.scoring.ranking import removed_count
from prunecli.strategies.bites import Bite, BiteWishes, Block, bites_of
from prunecli.strategies.parts import Parts, Recovery
from prunecli.strategies.schedules import SCHEDULES, shares_in_training


def in_bites(schedule: str, **parts: object) -> Parts:
    return Parts(schedule=schedule, hardness="removed", **parts)


def cumulative(schedule: str, ratio: float, **wishes: object) -> list[float]:
    return [bite.ratio for bite in bites_of(in_bites(schedule), ratio, BiteWishes(**wishes), epochs=20)]


@pytest.mark.parametrize(
    ("strategy", "ratio", "expected"),
    [
        ("constant", 0.7, [0.14, 0.28, 0.42, 0.56, 0.70]),
        ("constant", 0.9, [0.18, 0.36, 0.54, 0.72, 0.90]),
        ("geometric", 0.7, [0.214, 0.382, 0.514, 0.618, 0.700]),
        ("geometric", 0.9, [0.369, 0.602, 0.749, 0.842, 0.900]),
    ],
)
def test_cumulative_ratios_are_those_that_are_known(
    strategy: str, ratio: float, expected: list[float]
) -> None:
    assert cumulative(strategy, ratio) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("strategy", sorted(set(SCHEDULES) - {"manual", "blocks"}))
@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.9])
def test_bites_rise_and_the_last_one_is_the_ratio_itself(strategy: str, ratio: float) -> None:
    found = cumulative(strategy, ratio)
    assert found == sorted(set(found))
    assert found[-1] == ratio
    assert found[0] > 0


def test_a_geometric_bite_takes_the_same_part_of_what_is_left() -> None:
    left = [1.0, *(1 - ratio for ratio in cumulative("geometric", 0.8, steps=4))]
    parts = [1 - after / before for before, after in itertools.pairwise(left)]
    assert parts == pytest.approx([1 - 0.2 ** (1 / 4)] * 4)


def test_log_bites_shrink_by_equal_factors() -> None:
    ends = [0.0, *cumulative("log", 0.6, steps=4)]
    sizes = [after - before for before, after in itertools.pairwise(ends)]
    factors = [after / before for before, after in itertools.pairwise(sizes)]
    assert sizes[0] / sizes[-1] == pytest.approx(4)
    assert factors == pytest.approx([4 ** (-1 / 3)] * 3)


def test_hybrid_takes_one_large_bite_and_then_tenths_of_what_is_left() -> None:
    found = cumulative("hybrid", 0.5)
    assert found == pytest.approx([0.35, 0.415, 0.4735, 0.5])
    assert len(cumulative("hybrid", 0.9, first=0.6)) > 50  # two per cent each above 0.8
    assert cumulative("hybrid", 0.5, first=0.9, later=0.5) == pytest.approx([0.45, 0.5])


def test_manual_bites_are_as_given() -> None:
    assert cumulative("manual", 0.5, ratios=(0.2, 0.4, 0.5)) == pytest.approx([0.2, 0.4, 0.5])
    for wishes, said in (({}, "bites of your own"), ({"ratios": (0.2, 0.4)}, "last bite is 0.4")):
        with pytest.raises(WrongUse, match=said):
            cumulative("manual", 0.5, **wishes)
    with pytest.raises(WrongUse, match="do not rise"):
        BiteWishes(ratios=(0.4, 0.3, 0.5))


@pytest.mark.parametrize("strategy", ["constant", "geometric", "log"])
@pytest.mark.parametrize("epochs", [5, 20, 23])
def test_all_bites_together_have_the_epochs_that_were_asked_for(strategy: str, epochs: int) -> None:
    counts = [bite.epochs for bite in bites_of(in_bites(strategy), 0.5, BiteWishes(), epochs=epochs)]
    assert sum(counts) == epochs
    assert max(counts) - min(counts) <= 1


def test_no_bite_goes_without_an_epoch() -> None:
    assert [bite.epochs for bite in bites_of(in_bites("constant"), 0.5, BiteWishes(), epochs=2)] == [1] * 5


def test_shares_of_equal_bites_are_exact() -> None:
    shares = [bite.share for bite in bites_of(in_bites("constant"), 0.3, BiteWishes(steps=3), epochs=3)]
    assert [removed_count(Fraction("0.3") * Fraction(str(share)), units=10) for share in shares] == [1, 2, 3]


@pytest.mark.parametrize(
    "wrong", [{"later": 1e-17}, {"ratios": (-0.1, 0.5)}, {"patience": 0}, {"min_delta": -1.0}, {"steps": 0}]
)
def test_a_wish_out_of_range_is_wrong_use(wrong: dict[str, object]) -> None:
    with pytest.raises(WrongUse, match=next(iter(wrong))):
        BiteWishes(**wrong)


def test_hybrid_trains_and_waits_long_after_its_first_bite() -> None:
    bites = bites_of(in_bites("hybrid"), 0.5, BiteWishes(patience=40), epochs=230)
    assert [bite.epochs for bite in bites] == [200, 10, 10, 10]
    assert [bite.patience for bite in bites] == [40, 2, 2, 2]


def test_what_leaves_at_the_end_has_no_bites_and_all_at_once_is_one() -> None:
    assert bites_of(Parts(schedule="cubic", hardness="gradual"), 0.5, BiteWishes(), epochs=20) == ()
    for schedule, wishes in (("one-shot", BiteWishes()), ("manual", BiteWishes(ratios=(0.5,)))):
        assert bites_of(in_bites(schedule), 0.5, wishes, epochs=3) == (Bite(ratio=0.5, share=1, epochs=3),)


def test_without_epochs_nothing_is_trained_and_with_never_only_the_end() -> None:
    assert [bite.epochs for bite in bites_of(in_bites("constant"), 0.5, BiteWishes(), epochs=0)] == [0] * 5
    never = in_bites("constant", trigger="never")
    assert [bite.epochs for bite in bites_of(never, 0.5, BiteWishes(), epochs=7)] == [0, 0, 0, 0, 7]


def test_epochs_of_each_training_and_final_ones() -> None:
    parts = in_bites("constant", recovery=Recovery(epochs_each=2, final_epochs=3))
    bites = bites_of(parts, 0.5, BiteWishes(steps=3), epochs=20)
    assert [(bite.epochs, bite.final) for bite in bites] == [(2, 0), (2, 0), (2, 3)]


def test_blocks_are_bites_of_the_whole_ratio() -> None:
    blocks = [Block(name=name, groups=frozenset({f"{name}.conv1"})) for name in ("first", "second")]
    bites = bites_of(in_bites("blocks"), 0.6, BiteWishes(), epochs=4, blocks=blocks)
    assert [(bite.ratio, bite.epochs, bite.block) for bite in bites] == [(0.6, 2, each) for each in blocks]
    assert bites[0].document() == {"ratio": 0.6, "epochs": 2, "block": "first"}


@pytest.mark.parametrize("schedule", sorted(set(SCHEDULES) - {"manual"}))
def test_along_a_training_the_share_never_falls_and_is_whole_in_the_end(schedule: str) -> None:
    shares = shares_in_training(schedule, 0.5, BiteWishes(), points=40)
    assert len(shares) == 40
    assert list(shares) == sorted(shares)
    assert shares[-1] == 1


def test_bites_are_stretched_over_a_training() -> None:
    shares = shares_in_training("constant", 0.5, BiteWishes(steps=2), points=4)
    assert shares == (0.5, 0.5, 1.0, 1.0)
