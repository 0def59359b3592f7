"""A log for TensorBoard: a folder of its own for each training, beside those of others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prunecli.training.logs.places import check_folder, quiet, require
from prunecli.training.logs.records import epoch_scalars, flat, result_scalars, step_scalars

if TYPE_CHECKING:
    from prunecli.training.settings import EpochRecord

FOLDER = "runs"
"""Where TensorBoard's own documents look for logs."""


class TensorBoard:
    """Event files in `folder`/`run`: figures of steps over steps, those of epochs over epochs.

    A resumed training goes on in the same folder. Where the facts of its start tell the `step` that was
    done last, steps that it does again replace those of before.
    """

    def __init__(self, folder: str, *, run: str, resumed: bool = False) -> None:
        """Raise WrongUse for a folder that cannot be, WorkFailed where the package is missing."""
        require("tensorboard", extra="tensorboard", reason="a log for TensorBoard")
        check_folder(folder or FOLDER)
        self.folder = Path(folder or FOLDER) / run
        self._resumed = resumed
        self._writer: Any = None
        self._epochs = 0

    def start(self, facts: Mapping[str, Any]) -> None:
        """Make the folder and show the facts as a table under TEXT."""
        with quiet():
            from torch.utils.tensorboard import SummaryWriter

            done = facts.get("step") if self._resumed else None
            again = None if done is None else int(done) + 1
            self._writer = SummaryWriter(str(self.folder), purge_step=again)
            rows = [f"| {_cell(name)} | {_cell(value)} |" for name, value in flat(facts, between=".").items()]
            self._writer.add_text("start", "\n".join(["| what | value |", "|---|---|", *rows]), again or 0)
            self._writer.flush()

    def step(self, figures: Mapping[str, float]) -> None:
        """Figures over the steps."""
        self._scalars(step_scalars(figures), int(figures["step"]))

    def epoch(self, record: EpochRecord) -> None:
        """Figures over the epochs."""
        self._epochs = record.epoch + 1
        self._scalars(epoch_scalars(record), self._epochs)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """The numbers of the end, at the last epoch."""
        self._scalars(result_scalars(facts), self._epochs)

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with quiet():
                writer.close()

    def _scalars(self, scalars: Mapping[str, float], at: int) -> None:
        with quiet():
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, at)
            self._writer.flush()


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
