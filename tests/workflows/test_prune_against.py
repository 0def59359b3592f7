"""One strategy and another beside it: the same network and images, one file, and what the first saved."""

from __future__ import annotations

import json

import pytest
import torch
from quarter_of_digits import quarter_of_digits

from prunecli.cli.pages import prune as pages
from prunecli.errors import WrongUse
from prunecli.strategies.parts import PartWishes
from prunecli.workflows import prune_against as module
from prunecli.workflows.opening import Opening, load, open_checkpoint
from prunecli.workflows.prune_against import prune_against


@pytest.fixture(scope="module")
def opened():
    return open_checkpoint(Opening())


@pytest.fixture(scope="module")
def images(opened):
    return quarter_of_digits(opened)


@pytest.fixture
def calls(monkeypatch):
    """What `prune` is asked for."""
    seen = []
    real = module.prune

    def prune(opening, **asked):
        seen.append(asked)
        return real(opening, **asked)

    monkeypatch.setattr(module, "prune", prune)
    return seen


def test_both_are_carried_out_and_the_first_is_written(opened, images, calls, tmp_path):
    path = str(tmp_path / "small.safetensors")
    result = prune_against(
        Opening(),
        ratio=0.5,
        strategy="ice",
        against="every-step",
        parts=PartWishes(drop=101.0, freeze_share=0.0, epochs_each=2),
        recalibrate=1,
        output=path,
        opened=opened,
        images=images,
    )
    first, second = calls
    assert (first["strategy"], second["strategy"]) == ("ice", "every-step")
    assert first["images"] is second["images"]
    assert first["opened"] is second["opened"]
    assert second["parts"] == PartWishes(epochs_each=2)
    assert "output" not in second
    document = json.loads(json.dumps(result.document()))
    other = document["against"]
    assert (document["strategy"], other["strategy"]) == ("ice", "every-step")
    assert (document["trainings"]["fired"], other["trainings"], other["bites"]) == (0, 4, 4)
    assert other["seconds"] > 0
    assert other["speed_up"] == pytest.approx(other["seconds"] / sum(result.seconds.values()))
    assert set(other["accuracy"]) == {"before", "cut", "after"}
    assert other["accuracy"]["before"] == document["accuracy"]["before"]
    assert torch.equal(load(path).conv1.weight, result.model.conv1.weight)


def test_any_two_strategies_can_be_compared_and_the_page_shows_both(opened, images):
    result = prune_against(
        Opening(), ratio=0.3, strategy="one-shot", against="sfp", epochs=2, opened=opened, images=images
    )
    other = result.against
    assert (other.strategy, other.trainings, other.bites) == ("sfp", 1, 0)
    table = next(each for each in pages.page(result.document()) if each.title == "Against")
    assert [row[0] for row in table.rows] == ["one-shot", "sfp"]
    assert [row[-1] for row in table.rows] == [other.speed_up, None]


def test_without_a_comparison_the_page_has_no_table_of_it():
    assert not pages._against({"strategy": "ice"}).rows


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"dry_run": True}, "carrying them out"),
        ({"plan": "plan.json"}, "carrying them out"),
        ({"against": "ice"}, "with itself"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_work(asked, said):
    with pytest.raises(WrongUse, match=said):
        prune_against(
            Opening(checkpoint="missing"),
            **{"strategy": "ice", "against": "every-step", "ratio": 0.5, **asked},
        )
