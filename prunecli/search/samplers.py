"""What proposes the next point: names without optuna, and the making of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prunecli.errors import unknown_name
from prunecli.search.requirement import load_optuna
from prunecli.search.space import Space, Value, distributions, snapped

GRID = "grid"
SAMPLERS: Mapping[str, str] = {
    GRID: "every point once, in an order shuffled by the seed",
    "random": "points at random",
    "tpe": "points like the better ones so far: tree-structured Parzen estimators (Bergstra et al. 2011)",
    "nsga2": "points crossed and varied from the best so far: NSGA-II (Deb et al. 2002)",
}
"""Sampler → its line."""

_STARTUP = 10
"""Trials at random before `tpe` or `nsga2` has something to go by."""


def check_sampler(name: str) -> None:
    """Raise WrongUse, with the nearest match, for a sampler that there is not."""
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)


def proposed(
    name: str, directions: Sequence[Any], space: Space, trials: Sequence[Any], *, seed: int, slot: int
) -> tuple[dict[str, Value], dict[str, Any]]:
    """A point for the place `slot`, from what is known of optuna's `trials`, and notes to keep on its trial.

    It is asked for in a copy of the study, so that nothing is stored before the values are known. The random
    numbers follow from `seed` and `slot` alone: neither resuming nor the number of processes changes them.
    """
    optuna = load_optuna()
    study = optuna.create_study(
        directions=directions, sampler=_sampler(name, (seed * 1_000_003 + slot) % 2**32)
    )
    # What is dead has nothing to say.
    study.add_trials([each for each in trials if each.state.name != "FAIL"])
    study.ask(distributions(space))
    asked = study.get_trials(deepcopy=False)[-1]
    return snapped(space, asked.params), dict(asked.system_attrs)


def _sampler(name: str, seed: int) -> Any:
    samplers = load_optuna().samplers
    if name == "tpe":
        return samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP)
    if name == "nsga2":
        return samplers.NSGAIISampler(seed=seed, population_size=_STARTUP)
    return samplers.RandomSampler(seed=seed)
