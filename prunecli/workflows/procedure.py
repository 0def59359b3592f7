"""The strategy that was asked for, with its parts, its bites and how it trains."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from prunecli.errors import WrongUse
from prunecli.graph.channel_graph import ChannelGraph
from prunecli.strategies.bites import Bite, BiteWishes, bites_of
from prunecli.strategies.contract import STRATEGIES, Strategy
from prunecli.strategies.parts import ALWAYS, Parts, PartWishes
from prunecli.strategies.procedures.blocks import blocks_of
from prunecli.training.settings import FitSettings
from prunecli.workflows.finetune import stored


@dataclass(frozen=True, kw_only=True)
class Procedure:
    """What is to be done over time.

    `name` is the strategy, `wishes` are parts in place of its own, `epochs` None for the strategy's own.
    `ratio` is the share that leaves, `of` what: channels or a cost; `in_vain` says that it cannot be had.
    With `cut_only` channels are chosen and removed as by one-shot and nothing is trained: a dry run.
    """

    name: str
    ratio: float | None
    wishes: PartWishes
    bites: BiteWishes
    epochs: int | None
    training: FitSettings
    cut_only: bool
    of: str = "channels"
    in_vain: bool = False

    def check(self) -> None:
        """Raise WrongUse for parts and bites that cannot be, before any work."""
        if self.parts is not None and self.ratio:
            bites_of(self.parts, self.ratio, self.bites, epochs=self.all_epochs)

    def aimed(self, share: float, *, of: str, in_vain: bool) -> Procedure:
        """The same for a `share` of a cost instead of channels; a dry run where that cannot be had."""
        found = replace(self, ratio=share, of=of, in_vain=in_vain, cut_only=self.cut_only or in_vain)
        found.check()
        return found

    @cached_property
    def asked(self) -> Strategy:
        """The strategy that was asked for."""
        return STRATEGIES[self.name]

    @cached_property
    def strategy(self) -> Strategy:
        """The one that is carried out."""
        return STRATEGIES["one-shot"] if self.cut_only else self.asked

    @cached_property
    def parts(self) -> Parts | None:
        """The parts of the one that was asked for; for some, the epochs given are those of each training."""
        parts = self.asked.made_of(self.wishes)
        if parts is None or self.epochs is None or self.wishes.epochs_each is not None:
            return parts
        if parts.recovery.epochs_each is None:
            return parts
        return replace(parts, recovery=replace(parts.recovery, epochs_each=max(1, self.epochs)))

    @property
    def carried_out(self) -> Parts | None:
        """The parts of the one that is carried out."""
        return self.strategy.parts if self.cut_only else self.parts

    @property
    def all_epochs(self) -> int:
        """Epochs as they were asked for, else the strategy's own."""
        return self.asked.epochs if self.epochs is None else self.epochs

    @property
    def trains(self) -> bool:
        """Whether the network is trained on the way."""
        recovery = None if self.parts is None else self.parts.recovery
        more = recovery is not None and (recovery.epochs_each or recovery.final_epochs)
        return not self.cut_only and bool(self.all_epochs or more)

    @property
    def ranks_once(self) -> bool:
        """Whether all channels are chosen by one ranking of the network as it is."""
        parts = self.carried_out
        return parts is not None and parts.in_bites and parts.schedule == "one-shot"

    def shown_bites(self, graph: ChannelGraph) -> tuple[Bite, ...]:
        """The bites of the strategy that was asked for, in a dry run too; none for all at once."""
        if self.parts is None or not self.ratio or self.parts.schedule == "one-shot":
            return ()
        blocks = blocks_of(graph) if self.parts.in_bites else ()
        return bites_of(self.parts, self.ratio, self.bites, epochs=self.all_epochs, blocks=blocks, of=self.of)

    def longer_than_asked(self, graph: ChannelGraph) -> str | None:
        """That the bites take more epochs than were asked for, if they do."""
        parts = self.parts
        if parts is None or parts.trigger != ALWAYS or parts.recovery.epochs_each is not None:
            return None
        least = sum(bite.epochs for bite in self.shown_bites(graph))
        if self.epochs is None or least <= self.epochs:
            return None
        return f"{self.name} takes {least} epochs: no bite goes without one"

    def settings(self, *, seed: int, device: str, **more: Any) -> FitSettings | None:
        """How the strategy trains, None when it does not."""
        if not self.trains:
            return None
        return replace(self.training, epochs=max(1, self.all_epochs), seed=seed, device=device, **more)

    def document(self, graph: ChannelGraph, settings: FitSettings | None) -> dict[str, Any]:
        """How the strategy trained and in which bites: for the file's history and the origin of a run."""
        found: dict[str, Any] = {}
        if self.parts is not None and self.wishes.any:
            found["parts"] = asdict(self.parts)
        if settings is None:
            return found
        bites = [bite.document() for bite in self.shown_bites(graph)]
        return {**found, "training": stored(settings), **({"bites": bites} if bites else {})}

    def refuse_target(self, kind: str) -> None:
        """Raise WrongUse for a cost by which the strategy cannot go."""
        if kind not in self.asked.costs:
            raise WrongUse(
                f"{self.name} goes by {' and '.join(self.asked.costs)}, not by {kind}",
                hints=["for example: --target macs=0.5"],
            )

    def refuse_search(self) -> None:
        """Raise WrongUse where one cut is not all there is to do."""
        if self.trains or self.name != "one-shot":
            raise WrongUse(
                "--max-drop alone looks for the most that one cut may take, and that without training",
                hints=[
                    "say how much is to leave: --ratio 0.5 or --target macs=0.5",
                    "see also: prunecli sweep",
                ],
            )

    def refuse_saved_scores(self) -> None:
        """Raise WrongUse when the network is ranked again and again."""
        if not self.ranks_once:
            raise WrongUse(
                f"saved scores are of the network as it is; {self.strategy.name} trains and ranks it anew",
                hints=["take --strategy one-shot, or leave --scores out"],
            )
