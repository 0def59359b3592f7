"""Where a strategy stands between two trainings, in a file from which it goes on.

What the training in progress needs stands beside it, in a file of its own (`training.resuming`). Channels are
kept in the coordinates of the network that the strategy began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.errors import InputRefused

if TYPE_CHECKING:
    from torch import Tensor

    from prunecli.surgery.plan import Plan
    from prunecli.surgery.verification import Verification
    from prunecli.training.resuming import Keeper
    from prunecli.training.settings import EpochRecord

FILE = "strategy.safetensors"
SCHEMA = "prunecli.strategy-run/1"


@dataclass(frozen=True, kw_only=True, eq=False)
class Standing:
    """A strategy after `done` of its bites.

    `plan` holds all cuts so far and `weights` what is left of the network; `spare` are epochs that the next
    training has as well; `facts` are what the strategy itself remembers, as JSON values.
    """

    done: int
    plan: Plan
    weights: Mapping[str, Tensor]
    proof: Verification | None = None
    history: tuple[EpochRecord, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    spare: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class Diary:
    """Notes where a strategy stands, in the folder of the keeper (None: nothing is kept).

    `keeper` is that of trainings; its origin says what the run is of. `resuming` is a run that goes on, from
    `standing` where it had come further than its first training.
    """

    keeper: Keeper | None = None
    standing: Standing | None = None
    resuming: bool = False

    @property
    def path(self) -> Path | None:
        """The file of the notes."""
        return None if self.keeper is None else Path(self.keeper.folder) / FILE

    def training(self, number: int) -> Keeper | None:
        """The keeper of the training after bite `number` (from 0), with the state that it goes on from.

        A state that is kept of another bite was left behind by a run that was killed; it is of no use.
        """
        from prunecli.training.resuming import read_run

        if self.keeper is None:
            return None
        origin = {**self.keeper.origin, "bite": number}
        found = read_run(self.keeper.folder) if self.resuming else None
        ours = found is not None and found[1].get("bite") == number
        return replace(self.keeper, origin=origin, resumed=found[0] if found is not None and ours else None)

    def note(self, standing: Standing) -> None:
        """Write where the strategy stands, in place of what stood there; one process of several does."""
        from prunecli.checkpoints import write_checkpoint
        from prunecli.processes import is_main

        if self.keeper is None or self.path is None or not is_main():
            return
        self.path.parent.mkdir(exist_ok=True)
        document = {
            "run": SCHEMA,
            "origin": dict(self.keeper.origin),
            "done": standing.done,
            "plan": standing.plan.document(),
            "proof": None if standing.proof is None else standing.proof.document(),
            "history_of_run": [asdict(record) for record in standing.history],
            "seconds": dict(standing.seconds),
            "spare": standing.spare,
            "facts": dict(standing.facts),
        }
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in standing.weights.items()}
        write_checkpoint(self.path, weights, document, force=True)
        self.keeper.clear()  # of the training that is done; the folder stays, the notes are in it

    def close(self) -> None:
        """The strategy came to its end: what was kept is of no more use."""
        from prunecli.processes import is_main

        if self.keeper is not None and self.path is not None and is_main():
            self.path.unlink(missing_ok=True)
            self.keeper.clear()


def read_standing(folder: str) -> tuple[Standing, Mapping[str, Any]] | None:
    """Where the strategy kept in `folder` stands, and of what run; None where none was noted yet.

    Raises InputRefused for a file that is not complete.
    """
    from prunecli.checkpoints import read_checkpoint
    from prunecli.surgery.plan import Plan
    from prunecli.surgery.verification import Verification
    from prunecli.training.settings import EpochRecord

    path = Path(folder) / FILE
    if not path.exists():
        return None
    checkpoint = read_checkpoint(path)
    document = checkpoint.document or {}
    if document.get("run") != SCHEMA:
        raise InputRefused(f"{str(path)!r} is not the state of a strategy that this version can go on with")
    try:
        proof = document["proof"]
        standing = Standing(
            done=int(document["done"]),
            plan=Plan.from_document(document["plan"]),
            weights=checkpoint.tensors,
            proof=None if proof is None else Verification(**proof),
            history=tuple(EpochRecord(**record) for record in document["history_of_run"]),
            seconds=dict(document["seconds"]),
            spare=int(document["spare"]),
            facts=dict(document["facts"]),
        )
        return standing, dict(document["origin"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputRefused(f"{str(path)!r} is not a complete state of a strategy") from error
