"""One choice of `laasp` against the naive evaluation, and the strategy against one cut at equal epochs.

    python benchmarks/laasp.py choices --checkpoint r20.pt --data FOLDER --images 2000 --states 4
    python benchmarks/laasp.py paths --checkpoint r20.pt --data FOLDER --images 2000 --until 0.3
    python benchmarks/laasp.py strategies --ratios 0.5,0.6 --epochs 20,100 --seeds 3

`choices`: the naive evaluation does for every proposal what the published code does: copy the network, plan
and cut, run all images; every third proposal is timed, and the mean taken as often as criteria propose. Both
are timed one after the other in every state; a state is what the choices of a recovery, cut and not trained,
leave of the one before. Seconds are of processor time, per choice: those of `laasp`, by the race and exactly,
are of all the choices up to a recovery (2 % of the MACs), the ranking, the first pass and all else divided
among them.

`paths`: along one way, without training, every choice of the race against the exact one in the same state.

`strategies`: test accuracy on the bundled digits of `laasp` and `one-shot`, which both remove the MACs that
the uniform cut at the ratio does, mean and spread over the seeds.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

import prunecli
from prunecli import FitSettings, Opening
from prunecli.allocation.bounds import Bounds
from prunecli.data.splitting import decoded
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.graph.costs_left import macs_left
from prunecli.scoring.filter_scores import score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.strategies.loss_aware import LossAwareWishes
from prunecli.strategies.procedures.proposals import Limits, Proposal, Proposer, Removed
from prunecli.strategies.procedures.racing import Best, best_of
from prunecli.strategies.procedures.silencing import (
    Bench,
    Contender,
    Images,
    Way,
    at_work,
    classify,
    find_ways,
)
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.workflows.data import open_images
from prunecli.workflows.opening import open_checkpoint

CPU = torch.device("cpu")
WISHES = LossAwareWishes()


@dataclass(kw_only=True)
class State:
    """A network on the way, with what does not change along it."""

    model: nn.Module
    graph: ChannelGraph
    images: Images
    ways: dict[str, Way]
    left_out: dict[str, str]
    limits: Limits
    whole: int

    @classmethod
    def opened(cls, checkpoint: str, data: str, images: int) -> State:
        """The network of a checkpoint, and a random choice of the training part."""
        opened = open_checkpoint(Opening(checkpoint=checkpoint))
        found = open_images(opened, data)
        graph = build_graph(opened.model, opened.architecture.input_shape)
        order = np.random.RandomState(0).permutation(len(found.data.train))[:images]
        held = Images(decoded(found.data.train, torch.from_numpy(order)), found.mean, found.std)
        widths = {group.name: group.channels for group in graph.prunable}
        limits = Limits(widths=widths, ratio=WISHES.max_layer_ratio, bounds=Bounds())
        ways, whole = find_ways(opened.model, graph, limits.halves(graph, left_out={}), held)
        return cls(
            model=opened.model,
            graph=graph,
            images=held,
            ways=ways,
            left_out=whole,
            limits=limits,
            whole=macs_left(graph, {}),
        )

    def proposer(self) -> Proposer:
        """The proposals of the criteria, by a ranking of the network as it is."""
        filters = score_filters(self.model, self.graph, WISHES.pool)
        scores = {
            name: score_groups(self.graph.prunable, self.graph.layers, filters, name) for name in WISHES.pool
        }
        return Proposer(
            self.graph,
            scores,
            left_out=self.left_out,
            limits=self.limits,
            step=WISHES.step_macs * self.whole,
            goal=0,
        )

    def contenders(self, bench: Bench, proposals: Sequence[Proposal]) -> list[Contender]:
        """The proposals on the bench."""
        return [bench.contender(each.removed, self.ways[each.group]) for each in proposals]

    def without(self, gone: Removed) -> State:
        """The state after a cut."""
        cut = carry_out(make_plan(self.graph, gone).plan, copy.deepcopy(self.model))
        return replace(self, model=cut, graph=build_graph(cut, self.graph.calling.inputs[0].shape))


def naive(state: State, every: int) -> tuple[float, float, dict[int, float]]:
    """Seconds of a choice as the published code makes it, those of its passes, and mean losses of proposals.

    Proposals are those that `laasp` has, and each counts as often as criteria make it: nothing is done once
    for several of them. The copied network keeps the faster memory layout that `laasp` uses.
    """
    losses, seconds, passes = {}, [], []
    start = time.process_time()
    proposals = state.proposer().proposals({})
    ranking = time.process_time() - start
    with at_work(state.model, CPU, state.images):
        parts = Bench(state.model, state.graph, state.images).parts(torch.arange(len(state.images)))
        for number in range(0, len(proposals), every):
            start = time.process_time()
            chosen = {proposals[number].group: proposals[number].channels}
            cut = carry_out(make_plan(state.graph, chosen).plan, copy.deepcopy(state.model))
            middle = time.process_time()
            taken = (state.images.taken(part, device=CPU, dtype=torch.float32) for part in parts)
            found = torch.cat([classify(cut, *batch).each for batch in taken])
            losses[number] = float(found.double().mean())
            passes.append(time.process_time() - middle)
            seconds.append(time.process_time() - start)
    count = sum(len(each.criteria) for each in proposals)
    return ranking + statistics.mean(seconds) * count, statistics.mean(passes) * count, losses


def chosen_by(state: State, *, exactly: bool) -> tuple[Best, Removed, float]:
    """The choices up to a recovery: the first one, all channels, seconds per choice."""
    start = time.process_time()
    proposer = state.proposer()
    until = macs_left(state.graph, {}) - WISHES.recover_macs * state.whole
    found: list[Best] = []
    last: dict[tuple[str, str], float] = {}
    with at_work(state.model, CPU, state.images), ExitStack() as silent:
        bench = Bench(state.model, state.graph, state.images)
        while macs_left(state.graph, bench.gone) > until:
            proposals = proposer.proposals(bench.gone)
            contenders = state.contenders(bench, proposals)
            expected = [min(last.get((p.group, name), math.inf) for name in p.criteria) for p in proposals]
            best = best_of(bench, contenders, exact=exactly, expected=expected)
            last = {
                (each.group, name): loss
                for each, loss in zip(proposals, best.losses, strict=True)
                for name in each.criteria
            }
            silent.enter_context(bench.leaving(contenders[best.number]))
            found.append(best)
        gone = bench.gone
    return found[0], gone, (time.process_time() - start) / len(found)


def full_losses(state: State, numbers: Sequence[int]) -> list[float]:
    """Mean losses of proposals on all images, silent."""
    proposals = state.proposer().proposals({})
    with at_work(state.model, CPU, state.images):
        bench = Bench(state.model, state.graph, state.images)
        wanted = state.contenders(bench, [proposals[number] for number in numbers])
        parts = bench.parts(torch.arange(len(state.images)))
        losses = torch.cat([torch.stack(bench.losses(wanted, part)) for part in parts], dim=1)
    return [float(mean) for mean in losses.double().mean(dim=1)]


def choices(chosen: argparse.Namespace) -> None:
    """The table of seconds per choice."""
    state = State.opened(chosen.checkpoint, chosen.data, chosen.images)
    print(f"{chosen.images} images, {chosen.threads} thread(s), torch {torch.__version__}\n", flush=True)
    print(
        "| MACs gone | proposals (differing) | naive s | laasp s | ÷ | exact s | ÷ "
        "| images of the race | same choice | loss above the lowest |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|")
    ratios, exact_ratios, pass_ratios, apart = [], [], [], 0.0
    for _ in range(chosen.states):
        slow, passes, checked = naive(state, chosen.every)
        first, gone, fast = chosen_by(state, exactly=False)
        certain, _, middle = chosen_by(state, exactly=True)
        losses = full_losses(state, [first.number, *checked])
        proposals = state.proposer().proposals({})
        ratios.append(slow / fast)
        pass_ratios.append(passes / fast)
        exact_ratios.append(slow / middle)
        differences = zip(losses[1:], checked.values(), strict=True)
        apart = max(apart, *(abs(silent / cut - 1) for silent, cut in differences))
        lowest = certain.losses[certain.number]
        print(
            f"| {1 - macs_left(state.graph, {}) / state.whole:.1%} | "
            f"{sum(len(each.criteria) for each in proposals)} ({len(proposals)}) | {slow:.1f} | {fast:.2f} | "
            f"{slow / fast:.1f} | {middle:.1f} | {slow / middle:.1f} | {first.images} | "
            f"{'yes' if first.number == certain.number else 'no'} | "
            f"{max(0.0, losses[0] / lowest - 1):.2%} of {lowest:.4f} |",
            flush=True,
        )
        for _ in range(chosen.apart):
            state = state.without(gone)
            _, gone, _ = chosen_by(state, exactly=False)
        state = state.without(gone)
    print(
        f"\nMedian: the naive evaluation takes {statistics.median(ratios):.1f} times as long as laasp "
        f"({statistics.median(pass_ratios):.1f} times with its passes alone, copies and cuts not counted), "
        f"{statistics.median(exact_ratios):.1f} times as long as the exact choice. Mean losses of silent and "
        f"of cut networks differ by {apart:.0e} of them at most."
    )


def paths(chosen: argparse.Namespace) -> None:
    """How often the race chooses what the exact evaluation does, and what it costs where it does not."""
    state = State.opened(chosen.checkpoint, chosen.data, chosen.images)
    proposer = state.proposer()
    above, fast, slow, images = [], [], [], []
    taken: Counter[str] = Counter()
    with at_work(state.model, CPU, state.images), ExitStack() as silent:
        bench = Bench(state.model, state.graph, state.images)
        everything = bench.parts(torch.arange(len(state.images)))
        while macs_left(state.graph, bench.gone) > (1 - chosen.until) * state.whole:
            proposals = proposer.proposals(bench.gone)
            contenders = state.contenders(bench, proposals)
            start = time.process_time()
            race = best_of(bench, contenders)
            middle = time.process_time()
            certain = best_of(bench, contenders, exact=True, expected=race.losses)
            slow.append(time.process_time() - middle)
            fast.append(middle - start)
            images.append(race.images)
            above.append(0.0)
            if race.number != certain.number:
                found = [bench.losses([contenders[race.number]], part)[0] for part in everything]
                above[-1] = float(torch.cat(found).double().mean()) / certain.losses[certain.number] - 1
            taken[proposals[certain.number].criteria[0]] += 1
            silent.enter_context(bench.leaving(contenders[certain.number]))
    differ = [each for each in above if each > 0]
    longer = statistics.median(s / f for s, f in zip(slow, fast, strict=True))
    print(
        f"{len(above)} choices on {len(state.images)} images until {chosen.until:.0%} of the MACs are gone: "
        f"{len(above) - len(differ)} are the exact ones. Where they differ the loss is "
        f"{100 * max(differ, default=0.0):.2f} % above the lowest at most. The race ends after "
        f"{statistics.mean(images) / len(state.images):.0%} of the images on average; an exact choice with "
        f"the winner as its guess takes {longer:.1f} "
        "times as long (median). "
        f"Criteria of the choices: {', '.join(f'{name} {count}' for name, count in taken.most_common())}."
    )


def strategies(chosen: argparse.Namespace) -> None:
    """Accuracies at equal epochs and equal MACs."""
    print("| strategy | ratio | epochs | MACs removed | accuracy before | after |")
    print("|---|---:|---:|---:|---:|---:|")
    for ratio in (float(each) for each in chosen.ratios.split(",")):
        for epochs in (int(each) for each in chosen.epochs.split(",")):
            for name in ("one-shot", "laasp"):
                found = [
                    prunecli.prune(
                        Opening(),
                        ratio=ratio,
                        strategy=name,
                        epochs=epochs,
                        training=FitSettings(),
                        seed=seed,
                        evaluate=True,
                    ).document()
                    for seed in range(chosen.seeds)
                ]
                after = [each["accuracy"]["after"] for each in found]
                print(
                    f"| {name} | {ratio:g} | {epochs} | {found[0]['reduction']['macs']:.1%} | "
                    f"{found[0]['accuracy']['before']:.2f} | {statistics.mean(after):.2f} ± "
                    f"{statistics.pstdev(after):.2f} |",
                    flush=True,
                )


def main() -> None:
    """Run what the first argument names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("choices", "paths", "strategies"))
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--data")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--states", type=int, default=4)
    parser.add_argument("--apart", type=int, default=1, help="recoveries between two states, less one")
    parser.add_argument("--every", type=int, default=3, help="of so many proposals one is timed naively")
    parser.add_argument("--until", type=float, default=0.3)
    parser.add_argument("--ratios", default="0.5")
    parser.add_argument("--epochs", default="20")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.checkpoint is not None:
        chosen.checkpoint = str(chosen.checkpoint)
    torch.set_num_threads(chosen.threads)
    {"choices": choices, "paths": paths, "strategies": strategies}[chosen.what](chosen)


if __name__ == "__main__":
    main()
