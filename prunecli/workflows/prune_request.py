"""What `prune` is asked for, and what follows from it before any work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.counting import RANKED_TOGETHER
from prunecli.allocation.scales import SENSITIVITY
from prunecli.allocation.targets import LATENCY, Target, check_told, read_target
from prunecli.errors import WrongUse
from prunecli.progress import Progress
from prunecli.strategies.bites import BiteWishes
from prunecli.strategies.contract import STRATEGIES
from prunecli.strategies.loss_aware import LossAwareWishes
from prunecli.strategies.parts import PartWishes
from prunecli.training.recalibration import RECALIBRATION_BATCHES
from prunecli.training.settings import FitSettings
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.data import Images
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opened, Opening
from prunecli.workflows.procedure import Procedure
from prunecli.workflows.prune_tuning import TuningRequest
from prunecli.workflows.run_keeping import Keeping
from prunecli.workflows.streaming_choice import is_streamed, obstacles_of_criteria


@dataclass(frozen=True, kw_only=True)
class PruneRequest:
    """The arguments of `prune`, with its defaults.

    A `criterion` that is not named is the strategy's own: l2 but for few. A strategy that trains does so for
    `epochs` on `data`, as `training` says, with `parts` in place of its own and, before each training, the
    weights of the checkpoint `rewind`; laasp as `loss_aware` says. With `tuning` the parts that nobody gave
    are chosen in rehearsals first. A criterion that looks at the network at work runs it on `batches`
    batches, or its `scores` come from a file. With `evaluate` or `max_drop` (points) batch norms are measured
    again after the cut on `recalibrate` batches (None: 10, 0: none), and the part `judge` ("test" or
    "validation") is read. Where a strategy that trains stands is kept in `checkpoint_dir` (beside the output
    if nothing is said); `resume` is such a folder, to go on from. With `stream` the network is read from the
    disk tensor by tensor and never held whole, without it (False) held; None leaves it to the memory that
    there is. A checkpoint and images that are open
    already are given as `opened` and `images`.
    Raises WrongUse for wishes that cannot be.
    """

    opening: Opening
    ratio: float | None
    target: str | None
    criterion: str | None
    strategy: str
    scope: str
    normalization: str | None
    sensitivity: str | None
    residual: str
    round_to: int | str
    min_channels: int
    protect: Sequence[str]
    layer_ratio: Mapping[str, float] | None
    seed: int
    data: str | None
    evaluate: bool
    judge: str
    epochs: int | None
    training: FitSettings
    batches: int
    skip_bad_images: bool
    recalibrate: int | None
    bites: BiteWishes
    parts: PartWishes
    loss_aware: LossAwareWishes
    tuning: TuningRequest | None
    rewind: str | None
    scores: str | None
    max_drop: float | None
    plan: str | None
    plan_out: str | None
    checkpoint_every: int | None
    checkpoint_dir: str | None
    resume: str | None
    latency_batch: int
    stream: bool | None
    dry_run: bool
    keep: Keepsakes
    output: str | None
    force: bool
    opened: Opened | None
    images: Images | None
    progress: Progress

    def __post_init__(self) -> None:
        check_told(
            ratio=self.ratio,
            target=self.target,
            plan=self.plan,
            layer_ratio=self.layer_ratio,
            max_drop=self.max_drop,
        )
        if self.sensitivity is not None and self.scope not in RANKED_TOGETHER:
            raise WrongUse(
                "a sensitivity says which groups lose more, and --scope local takes as much of each",
                hints=["for example: --scope global"],
            )
        if self.tuning is not None:
            self.tuning.check(self.procedure)

    @property
    def inputs(self) -> tuple[str | None, ...]:
        """Files that are read beside the checkpoint, None for what was not asked for."""
        return (self.scores, self.sensitivity, self.plan, self.rewind)

    @property
    def is_streamed(self) -> bool:
        """Whether the network stays on the disk; raises WrongUse where it is to and cannot."""
        return is_streamed(self.opening, self.stream, list(self._obstacles()))

    def _obstacles(self) -> Iterator[str]:
        """What takes the network whole, in words that follow "which" and are followed by "does not allow"."""
        whole = {
            "a strategy that trains": self.procedure.trains,
            f"the strategy {self.strategy}": self.plan is None and not self.procedure.ranks_once,
            "measuring accuracy": self.evaluate or self.max_drop is not None,
            "standard output": self.output == "-",
            "--scores": self.scores is not None,
            "--rewind": self.rewind is not None,
            "a latency": self.wanted is not None and self.wanted.kind == LATENCY,
            "--sensitivity": self.sensitivity is not None,
            "tuning": self.tuning is not None,
            "a network that is open already": self.opened is not None or self.images is not None,
        }
        yield from (what for what, asked in whole.items() if asked)
        if self.plan is None:
            yield from obstacles_of_criteria([self.shown["criterion"]])

    @property
    def shown(self) -> dict[str, Any]:
        """What the result and the file's history repeat."""
        criterion = self.criterion or STRATEGIES[self.strategy].criterion
        return {
            "strategy": self.strategy,
            "criterion": criterion,
            "scope": self.scope,
            "ratio": self.ratio,
            "target": self.target,
            "seed": self.seed,
        }

    @property
    def scale(self) -> str | None:
        """How groups' scores come onto one scale, None for the scope's own."""
        return self.normalization or (SENSITIVITY if self.sensitivity is not None else None)

    @property
    def searches(self) -> bool:
        """Whether the most is to be found that keeps `max_drop`: nothing says how much is to leave."""
        told = (self.ratio, self.target, self.plan)
        return self.max_drop is not None and not self.layer_ratio and all(each is None for each in told)

    @property
    def wanted(self) -> Target | None:
        """The target that is to be met."""
        return None if self.target is None else read_target(self.target)

    @cached_property
    def procedure(self) -> Procedure:
        """What is to be done over time."""
        return Procedure(
            name=self.strategy,
            ratio=self.ratio,
            wishes=self.parts,
            bites=self.bites,
            epochs=self.epochs,
            training=self.training,
            cut_only=self.dry_run or self.plan is not None,
        )

    @property
    def bounds(self) -> Bounds:
        """What may leave a group; where the multiple is to be measured, before that."""
        layers = dict(self.layer_ratio or {})
        round_to = 1 if isinstance(self.round_to, str) else self.round_to
        return Bounds(self.min_channels, round_to, tuple(self.protect), layers, self.residual)

    @property
    def measures_widths(self) -> bool:
        """Whether the widths that the machine likes are to be measured."""
        return isinstance(self.round_to, str)

    @property
    def recalibration(self) -> int:
        """On how many batches batch norms are measured again."""
        return RECALIBRATION_BATCHES if self.recalibrate is None else self.recalibrate

    @property
    def calibration(self) -> Calibration:
        """On what images a criterion runs the network."""
        return Calibration(self.data, self.batches, self.training.batch_size, self.skip_bad_images)

    @property
    def keeping(self) -> Keeping:
        """Where the run keeps its state."""
        return Keeping.of(
            self.checkpoint_dir,
            resume=self.resume,
            output=self.output,
            every=self.checkpoint_every,
            logs=(),
        )
