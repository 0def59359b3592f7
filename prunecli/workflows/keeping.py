"""Pictures and reports of a result, written beside what is printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prunecli import documents
from prunecli.errors import WrongUse, nearest
from prunecli.latency.saving import machine_facts
from prunecli.processes import is_main
from prunecli.reports.card import check_card, write_card
from prunecli.reports.pictures import check_picture, write_picture
from prunecli.reports.writing import check_report, write_report
from prunecli.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Keepsakes:
    """The files to write of a result; None is not asked for."""

    plot: str | None = None
    plot_ranks: str | None = None
    plot_layer: str | None = None
    report: str | None = None
    card: str | None = None
    base_model: str | None = None
    force: bool = False
    command: str = ""
    """The command line that a report shows."""

    def __post_init__(self) -> None:
        for path in self.pictures:
            check_picture(path)
        if self.report is not None:
            check_report(self.report)
        if self.card is not None:
            check_card(self.card)
        if self.plot_layer is not None and self.plot_ranks is None:
            raise WrongUse("--plot-layer says what --plot-ranks draws", hints=["add: --plot-ranks FILE.svg"])

    @property
    def pictures(self) -> tuple[str, ...]:
        """The pictures asked for."""
        return tuple(path for path in (self.plot, self.plot_ranks) if path is not None)

    @property
    def paths(self) -> tuple[str | None, ...]:
        """Every file asked for, None for what is not."""
        return (self.plot, self.plot_ranks, self.report, self.card)

    def check_layer(self, layers: Iterable[str]) -> None:
        """Raise WrongUse when the layer to draw is none of the network's, before any work."""
        known = list(layers)
        if self.plot_layer is None or self.plot_layer in known:
            return
        near = nearest(self.plot_layer, known)
        hints = [f"did you mean {near!r}?"] if near else []
        raise WrongUse(f"no layer is called {self.plot_layer!r}", hints=[*hints, "see: prunecli inspect"])

    def write(
        self,
        name: str,
        document: Document,
        *,
        plot: Callable[[Document], Figure] | None = None,
        ranks: Callable[[], Figure] | None = None,
    ) -> None:
        """Write what was asked for of the result of the command `name`; one process of several does."""
        if not is_main():
            return
        if self.plot is not None and plot is not None:
            write_picture(plot(document), self.plot, force=self.force)
        if self.plot_ranks is not None and ranks is not None:
            write_picture(ranks(), self.plot_ranks, force=self.force)
        if self.report is None and self.card is None:
            return
        whole, where = documents.complete(name, document), facts()
        if self.report is not None:
            write_report(self.report, whole, command=self.command, facts=where, force=self.force)
        if self.card is not None:
            write_card(
                self.card,
                whole,
                command=self.command,
                facts=where,
                base_model=self.base_model,
                force=self.force,
            )


def facts() -> dict[str, str]:
    """What a report says of the environment."""
    import platform

    import torch

    machine = machine_facts(device="cuda" if torch.cuda.is_available() else "cpu", threads=None, batch=1)
    return {
        "prunecli": __version__,
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": str(machine["processor"]),
        "threads": str(machine["threads"]),
        "accelerator": "none" if machine["device"] == "cpu" else str(machine["device"]),
    }
