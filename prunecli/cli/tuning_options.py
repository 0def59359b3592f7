"""The options that tune a strategy, and that compare it with another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from prunecli.cli.names import completion, name
from prunecli.cli.option import PRUNING, option
from prunecli.cli.values import number, whole
from prunecli.errors import WrongUse

if TYPE_CHECKING:
    from prunecli.workflows.prune_tuning import TuningRequest

AutoTune = Annotated[
    bool,
    option(
        "--auto-tune",
        help="Choose the values of ice that were not given, on a few of the images; needs the extra tune.",
        section=PRUNING,
    ),
]
Trials = Annotated[
    int | None,
    option(
        "--trials", help="Trials of --auto-tune. Unsaid: 3.", metavar="N", parse=whole(1), section=PRUNING
    ),
]
TuneShare = Annotated[
    float | None,
    option(
        "--tune-share",
        help="Share of the images that a trial sees, but for a few hundred at least. Unsaid: 0.02.",
        metavar="S",
        parse=number(0, above=0, most=1),
        section=PRUNING,
    ),
]
TuneWeight = Annotated[
    float | None,
    option(
        "--tune-weight",
        help="What accuracy counts in --auto-tune, beside time. Unsaid: 0.5.",
        metavar="W",
        parse=number(0, most=1),
        section=PRUNING,
    ),
]
AgainstStrategy = Annotated[
    str | None,
    option(
        "--against",
        help="Carry this strategy out as well, and compare accuracy and time.",
        metavar="NAME",
        parse=name("strategies"),
        completion=completion("strategies"),
        section=PRUNING,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How values are chosen before the work, and what the work is compared with."""

    auto_tune: AutoTune = False
    trials: Trials = None
    tune_share: TuneShare = None
    tune_weight: TuneWeight = None
    against: AgainstStrategy = None

    def arguments(self) -> dict[str, Any]:
        """The same as the workflow takes them; raises WrongUse for wishes about no tuning."""
        named = {"trials": self.trials, "share": self.tune_share, "weight": self.tune_weight}
        given = {name: value for name, value in named.items() if value is not None}
        if given and not self.auto_tune:
            raise WrongUse("--trials, --tune-share and --tune-weight go with --auto-tune")
        found: dict[str, Any] = {} if self.against is None else {"against": self.against}
        return {**found, "tuning": self._request(given)} if self.auto_tune else found

    def _request(self, given: dict[str, Any]) -> TuningRequest:
        from prunecli.workflows.prune_tuning import TuningRequest

        return TuningRequest(**given)
