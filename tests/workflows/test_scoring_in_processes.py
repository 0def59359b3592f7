"""Several processes share a calibration: real gloo processes, started by torch's launcher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import scoring_in_processes
import torch
from scoring_in_processes import LOOKING

from prunecli.checkpoints import sample_models
from prunecli.scoring.filter_scores import FilterScores
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.opening import Opening
from prunecli.workflows.score import score

SCRIPT = Path(scoring_in_processes.__file__)
LAUNCHER = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2")
CASES = (
    "single precision",
    "double precision",
    "called several times",
    "tokens",
    "one batch",
    "few patches",
    "lost in one",
    "no second derivative",
)
# Sums of losses' gradients are added up in the network's own precision, everything else in double.
SUMMED_AS_IT_IS = {"grasp", "snip"}


def launched(*command: str) -> str:
    """What the processes print; those that wait for each other for two minutes are ended."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        [*LAUNCHER, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, said = run.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        run.terminate()  # the launcher ends what it has started
        output, said = run.communicate()
    assert run.returncode == 0, said
    return output


@pytest.fixture(scope="module")
def alone() -> dict[str, FilterScores]:
    """What one process finds."""
    return scoring_in_processes.findings()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, FilterScores]]:
    """What each of two processes finds."""
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("both")
    launched(str(SCRIPT), str(folder))
    return [torch.load(folder / f"{index}.pt") for index in (0, 1)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_find_the_scores_of_one(
    alone: dict[str, FilterScores], both: list[dict[str, FilterScores]], case: str
) -> None:
    compared = set()
    for layer, members in alone[case].items():
        for name, expected in members.items():
            found = both[0][case][layer][name]
            assert (found is None) == (expected is None), (layer, name)
            if expected is None or found is None:
                continue
            compared.add(name)
            assert found.dtype == expected.dtype
            double = expected.dtype == torch.float64 or name not in SUMMED_AS_IT_IS
            bound = (1e-13 if double else 1e-6) * float(expected.abs().max())
            torch.testing.assert_close(
                found, expected, rtol=0, atol=bound, msg=lambda text, at=(layer, name): f"{at}: {text}"
            )
    assert compared


@pytest.mark.parametrize("case", CASES)
def test_both_processes_have_the_same_scores_to_the_last_bit(
    both: list[dict[str, FilterScores]], case: str
) -> None:
    first, second = (each[case] for each in both)
    assert first.keys() == second.keys()
    for layer, members in first.items():
        for name, scores in members.items():
            other = second[layer][name]
            assert scores is other is None or torch.equal(scores, other), (layer, name)


def test_every_criterion_that_looks_at_the_network_is_among_them(both: list[dict[str, FilterScores]]) -> None:
    found = both[1]["single precision"]["conv1"]
    assert set(found) == set(LOOKING)
    assert not [name for name, scores in found.items() if scores is None]


def test_a_layer_that_one_process_has_lost_is_lost_in_all(both: list[dict[str, FilterScores]]) -> None:
    for found in both:
        assert found["lost in one"]["conv2"]["taylor"] is None
        assert found["lost in one"]["conv1"]["taylor"] is not None


def test_all_processes_know_that_there_is_no_second_derivative(both: list[dict[str, FilterScores]]) -> None:
    for found in both:
        assert found["no second derivative"]["conv1"]["grasp"] is None
        assert found["no second derivative"]["conv1"]["taylor"] is not None


def test_each_process_runs_its_share_and_all_images_of_what_is_not_shared(
    both: list[dict[str, FilterScores]],
) -> None:
    run = [{name: int(count) for name, count in each["images run"]["layer"].items()} for each in both]
    # Of six batches of 4, 4, 4, 4, 4 and 3 images every other one; the Hessian takes two passes.
    assert run == [{"taylor": 12, "grasp": 24, "movement": 23}, {"taylor": 11, "grasp": 22, "movement": 23}]


def test_scores_that_differ_are_those_of_the_main_process(both: list[dict[str, FilterScores]]) -> None:
    for found in both:
        scores = found["of the main one"]["layer"]
        assert scores["l1"].tolist() == [0.5, 0]
        assert scores["apoz"] is None
        assert torch.isnan(scores["l2"]).all()


def test_the_command_shares_its_images_and_says_what_it_says_alone() -> None:
    pytest.importorskip("accelerate")
    model, criteria = str(sample_models()["resnet8-digits"]), ["taylor", "apoz", "movement", "l2"]
    images = ["--data", "digits", "--batches", "3", "--batch-size", "7"]
    asked = ["-m", "prunecli", "score", model, "--criteria", ",".join(criteria), *images, "--json"]
    document = json.loads(launched(*asked))
    expected = score(
        Opening(checkpoint=model),
        criteria=criteria,
        calibration=Calibration(data="digits", batches=3, batch_size=7),
    ).document()
    assert document["data"] == expected["data"]
    for found, wanted in zip(document["layers"], expected["layers"], strict=True):
        for name in criteria:
            both = found["scores"][name], wanted["scores"][name]
            # Launched processes have other numbers of threads, which sum in another order.
            assert both == (None, None) or both[0] == pytest.approx(both[1], rel=1e-4, abs=1e-7)
    assert document["layers"][0]["scores"]["apoz"] is not None
