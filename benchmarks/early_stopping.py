"""What early stopping saves and costs, played through on a sweep whose trials were all run to their end.

    prunecli sweep --ratio 0.3,0.5,0.7 --criteria l1,l2,fpgm,taylor --scopes local,global --seeds 5 \
        --epochs 3 --stop-by none --json > sweep.json
    python benchmarks/early_stopping.py sweep.json     the table of docs/sweep.md

Every accuracy is known, so the same layers can be asked about many orders of the trials: how many runs they
would have left out, how much of the front they would have kept, and by how much the front that is left is
worse where a member of it was stopped.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from prunecli.search.front import pareto_front
from prunecli.search.stopping import falls_behind, is_active, is_out_of_reach, is_rung, trimmed_mean

ORDERS = 300


@dataclass(frozen=True)
class Trial:
    """What a trial came to, seed by seed, and its MACs."""

    accuracies: tuple[float, ...]
    macs: float

    @property
    def accuracy(self) -> float:
        """The trimmed mean."""
        return trimmed_mean(self.accuracies)


@dataclass(frozen=True)
class Rules:
    """Which layers look: successive halving, and a threshold of points below the dense network."""

    dense: float
    max_drop: float | None

    def stopped(self, trial: Trial, done: int, earlier: list[tuple[Trial, int]]) -> bool:
        """Whether a trial ends after `done` seeds; `earlier` ones had so many."""
        seeds, own = len(trial.accuracies), trial.accuracies[:done]
        if is_rung(done):
            rivals = [
                trimmed_mean(other.accuracies[:done])
                for other, had in earlier
                if had >= done and other.macs <= trial.macs
            ]
            if falls_behind(trimmed_mean(own), rivals):
                return True
        if self.max_drop is None or not is_active(done, inner=seeds):
            return False
        least = self.dense - self.max_drop
        return is_out_of_reach(own, left=seeds - done, optimum=self.dense, threshold=least)


def played(trials: list[Trial], rules: Rules) -> tuple[int, list[Trial]]:
    """How many runs there are when the trials come in this order, and which are run to their end."""
    earlier: list[tuple[Trial, int]] = []
    for trial in trials:
        seeds = len(trial.accuracies)
        had = next((done for done in range(1, seeds) if rules.stopped(trial, done, earlier)), seeds)
        earlier.append((trial, had))
    return sum(had for _, had in earlier), [trial for trial, had in earlier if had == len(trial.accuracies)]


def front_of(trials: list[Trial]) -> list[Trial]:
    """The trials that no other dominates."""
    return [trials[place] for place in pareto_front([(each.accuracy, each.macs) for each in trials])]


def row(trials: list[Trial], rules: Rules) -> str:
    """One line of the table, the mean over many orders."""
    whole, runs, kept, lost, best = front_of(trials), [], [], [], []
    if rules.max_drop is not None:  # below it nobody wants a member
        whole = [each for each in whole if rules.dense - each.accuracy <= rules.max_drop]
    for seed in range(ORDERS):
        order = random.Random(seed).sample(trials, len(trials))
        count, ended = played(order, rules)
        runs.append(count / sum(len(each.accuracies) for each in trials))
        kept.append(sum(each in ended for each in whole) / len(whole))
        best.append(max(whole, key=lambda each: each.accuracy) in ended)
        for member in whole:
            dearest = [each.accuracy for each in ended if each.macs <= member.macs]
            if dearest:
                lost.append(member.accuracy - max(dearest))
    return (
        f"| {len(trials[0].accuracies)} | {'-' if rules.max_drop is None else f'{rules.max_drop:g}'} | "
        f"{100 * (1 - fmean(runs)):.0f} % | {100 * fmean(kept):.0f} % | {100 * fmean(best):.0f} % | "
        f"{fmean(lost):.2f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("document", type=Path)
    document = json.loads(parser.parse_args().document.read_text(encoding="utf-8"))
    dense = document["dense"]["accuracy"]
    print("| seeds | `--max-drop` | runs left out | front kept | best kept | points lost on the front |")
    print("|---:|---:|---:|---:|---:|---:|")
    for seeds in (3, document["seeds"]):
        for max_drop in (None, 2.0):
            trials = [
                Trial(tuple(each["accuracy"]["seeds"][:seeds]), each["macs"]) for each in document["trials"]
            ]
            print(row(trials, Rules(dense, max_drop)))


if __name__ == "__main__":
    main()
