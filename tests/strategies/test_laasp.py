"""laasp on tiny networks: the dead layer first, the choice of the naive evaluation, goal, caps and proof."""

from __future__ import annotations

import copy
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction

import networks
import pytest
import torch
from attention_networks import Encoder
from torch import nn
from torch.nn import functional

from prunecli.allocation.bounds import Bounds
from prunecli.allocation.choosing import allocate
from prunecli.cost.macs import measure
from prunecli.data import Split, TrainingData
from prunecli.errors import GateNotMet, WrongUse
from prunecli.graph.channel_graph import build_graph
from prunecli.graph.costs_left import macs_left
from prunecli.scoring.filter_scores import score_filters
from prunecli.scoring.group_scores import score_groups
from prunecli.strategies.contract import STRATEGIES, PruningTask
from prunecli.strategies.diary import Diary
from prunecli.strategies.loss_aware import LossAwareWishes
from prunecli.strategies.procedures.loss_aware import prune_by_loss
from prunecli.strategies.procedures.proposals import Limits, Proposer
from prunecli.strategies.procedures.racing import best_of
from prunecli.strategies.procedures.silencing import Bench, Images, Way, at_work, find_ways
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.training.forward import logits_of
from prunecli.training.settings import FitSettings

SHAPE = (3, 8, 8)
POOL = ("l1", "l2", "fpgm", "cosine")
MEAN, STD = (0.5,) * 3, (0.25,) * 3
CPU = torch.device("cpu")


def split(model, count, seed):
    """Random images with the classes that the network sees in them: whatever changes it raises the loss."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, *SHAPE), generator=generator, dtype=torch.uint8)
    images = Images(Split(pixels, torch.zeros(count, dtype=torch.int64), 5), MEAN, STD)
    x, _ = images.taken(torch.arange(count), device=CPU, dtype=torch.float32)
    with torch.no_grad():
        labels = logits_of(model.eval()(x)).argmax(dim=1)
    return Split(pixels, labels, 5)


def task_of(model, *, ratio=0.5, epochs=2, widths=None, data=None, count=96, **more):
    graph = build_graph(model, SHAPE)
    widths = widths or {group.name: group.channels for group in graph.prunable}
    data = data or TrainingData(
        "made", split(model, count, 0), split(model, 20, 1), tuple("abcde"), MEAN, STD
    )

    def rank_by(network, criteria):
        filters = score_filters(network, graph, list(criteria))
        return {name: score_groups(graph.prunable, graph.layers, filters, name) for name in criteria}

    def rank(network):
        scores = rank_by(network, ["l2"])["l2"]
        return lambda share, first=None: allocate(
            graph, scores, ratio=Fraction(str(ratio)) * Fraction(str(share)), widths=widths, first=first
        )

    def after(network):
        return task_of(network, ratio=ratio, epochs=epochs, widths=widths, data=data, **more)

    return PruningTask(
        model=model,
        graph=graph,
        ratio=ratio,
        rank=rank,
        rank_by=rank_by,
        after=after,
        data=data,
        settings=FitSettings(epochs=epochs, batch_size=32, lr=0.01),
        **more,
    )


class Stages(nn.Module):
    """A stem, a residual sum with an inner layer, and a narrower layer behind it."""

    def __init__(self):
        super().__init__()
        self.stem = networks.conv(3, 12, bias=False)
        self.bn = nn.BatchNorm2d(12)
        self.inner = networks.conv(12, 16)
        self.outer = networks.conv(16, 12)
        self.last = networks.conv(12, 10, stride=2)
        self.head = networks.Head(10)

    def forward(self, x):
        x = functional.relu(self.bn(self.stem(x)))
        x = functional.relu(x + self.outer(functional.relu(self.inner(x))))
        return self.head(functional.relu(self.last(x)))


def with_dead_layer():
    torch.manual_seed(0)
    model = Stages().eval()
    with torch.no_grad():
        model.outer.weight.zero_()  # nothing that `inner` makes is ever read
        model.head.linear.weight.mul_(20)  # sure of its classes
    return model


def wishes(**more):
    return LossAwareWishes(**{"step_macs": 0.03, "recover_macs": 0.2, "images": 96, **more})


def images_of(task, count=96):
    return Images(Split(task.data.train.images[:count], task.data.train.labels[:count], 5), MEAN, STD)


def halves(graph):
    """Group → half of its channels."""
    return {g.name: {g.name: tuple(range((g.channels + 1) // 2))} for g in graph.prunable}


def naive_losses(model, graph, images, gone, proposals):
    """Mean losses as the published code finds them: copy, cut, run everything."""
    x, labels = images.taken(torch.arange(len(images)), device=CPU, dtype=next(model.parameters()).dtype)
    found = []
    for proposal in proposals:
        more = {name: (*gone.get(name, ()), *channels) for name, channels in proposal.removed.items()}
        planned = make_plan(graph, {**gone, **more})
        cut = carry_out(planned.plan, copy.deepcopy(model)).eval()
        with torch.no_grad():
            found.append(float(functional.cross_entropy(logits_of(cut(x)), labels).double()))
    return found


@pytest.mark.parametrize("exact", [False, True])
def test_a_dead_layer_goes_first(exact):
    outcome = prune_by_loss(task_of(with_dead_layer()), wishes(exact=exact, recover_macs=0.9))
    groups = [choice["group"] for choice in outcome.choices]
    first = [choice["channels"] for choice in outcome.choices if choice["group"] == "inner"]
    assert groups[: len(first)] == ["inner"] * len(first)
    assert sum(first) == 10  # ⌊0.65 · 16⌋, all that it may lose


NETWORKS = [
    Stages,
    networks.Residual,
    networks.PaddedShortcut,
    networks.Dense,
    networks.Depthwise,
    networks.Grouped,
    networks.SqueezeExcite,
    networks.SharedLayer,
    networks.LayerNorm,
    networks.GroupNorm,
    networks.OverChannels,
    networks.FusedAttention,
]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.__name__)
def test_the_exact_choice_is_that_of_the_naive_evaluation(network):
    """Step after step, with what was chosen before silent."""
    model = networks.randomised(network(), seed=1).double()
    task = task_of(networks.randomised(network(), seed=1), ratio=0.5)
    images = images_of(task)
    ways, protected = find_ways(model, task.graph, halves(task.graph), images)
    widths = {group.name: group.channels for group in task.graph.prunable}
    proposer = Proposer(
        task.graph,
        task.rank_by(task.model, POOL),
        left_out=protected,
        limits=Limits(widths=widths, ratio=0.65, bounds=Bounds()),
        step=0.08 * macs_left(task.graph, {}),
        goal=0,
    )
    with at_work(model, CPU, images), ExitStack() as silent:
        bench = Bench(model, task.graph, images)
        for _ in range(3):
            proposals = proposer.proposals(bench.gone)
            expected = naive_losses(model, task.graph, images, bench.gone, proposals)
            contenders = [bench.contender(p.removed, ways[p.group]) for p in proposals]
            everything = torch.arange(len(images))
            found = [float(each.mean()) for each in bench.losses(contenders, everything)]
            assert found == pytest.approx(expected, rel=1e-9)
            best = best_of(bench, contenders, exact=True, expected=expected[::-1])
            assert expected[best.number] == pytest.approx(min(expected), rel=1e-9)
            if len(contenders) > 1:  # the only one is taken unmeasured
                assert best.losses[best.number] == pytest.approx(min(expected), rel=1e-9)
            if ways[proposals[best.number].group] is Way.CUT:
                break  # from here on it must really be cut
            silent.enter_context(bench.leaving(contenders[best.number]))


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (networks.Residual, {"stem": Way.RESUMED, "inner": Way.RESUMED}),
        (networks.SqueezeExcite, {Way.RESUMED}),
        (networks.LayerNorm, {"stem": Way.CUT}),  # its statistics are of the channels that are kept
        (networks.GroupNorm, {Way.CUT}),
        (networks.OverChannels, {"stem": Way.CUT, "next": Way.RESUMED}),
    ],
)
def test_how_a_group_is_measured_is_found_by_trying(network, expected):
    model = networks.randomised(network(), seed=1)
    task = task_of(model)
    ways, _ = find_ways(model, task.graph, halves(task.graph), images_of(task))
    assert (set(ways.values()) if isinstance(expected, set) else ways) == expected


def test_a_group_that_cannot_be_silenced_is_cut_at_once_and_the_way_goes_on():
    outcome = prune_by_loss(task_of(networks.randomised(networks.OverChannels())), wishes(step_macs=0.15))
    assert {choice["group"] for choice in outcome.choices} >= {"stem"}
    assert outcome.proof.equivalent
    assert outcome.cut.stem.weight.shape[0] < 8


def test_measuring_leaves_the_weights_as_they_were():
    model = networks.randomised(Stages())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task = task_of(model)
    images = images_of(task)
    with at_work(model, CPU, images):
        bench = Bench(model, task.graph, images)
        contenders = [bench.contender({"stem": (0, 3)}, Way.RESUMED) for _ in range(4)]
        with bench.leaving(contenders[0]):
            assert bench.gone == {"stem": (0, 3)}
            assert model.stem.weight[0].abs().sum() == model.inner.weight[:, 3].abs().sum() == 0
            bench.losses(contenders, torch.arange(8))
        assert bench.gone == {}
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def taken(outcome):
    """Group → how many channels all choices took."""
    found = {}
    for choice in outcome.choices:
        found[choice["group"]] = found.get(choice["group"], 0) + choice["channels"]
    return found


@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_as_many_macs_leave_as_by_the_uniform_cut_and_no_channel_more(ratio):
    model = networks.randomised(Stages())
    task = task_of(model, ratio=ratio)
    goal = macs_left(task.graph, task.choose(model, 1.0).removed)
    outcome = prune_by_loss(task, wishes())
    macs = measure(outcome.cut, SHAPE).macs
    assert macs <= goal
    assert macs == outcome.choices[-1]["macs"]
    last = outcome.choices[-1]["group"]
    graph = build_graph(outcome.cut, SHAPE)
    channel = macs - macs_left(graph, {last: (0,)})  # what one more of the last group's would save
    assert goal - macs <= channel * 1.3  # the one before it saved a little more
    assert [choice["macs"] for choice in outcome.choices] == sorted(
        (choice["macs"] for choice in outcome.choices), reverse=True
    )


def test_the_whole_way_is_one_plan_proved_and_trained_for_all_epochs():
    model = networks.randomised(Stages())
    outcome = prune_by_loss(task_of(copy.deepcopy(model), epochs=5), wishes())
    assert outcome.proof.equivalent
    assert outcome.trained_since
    assert [record.epoch for record in outcome.history] == [0, 1, 2, 3, 4]
    again = carry_out(outcome.planned.plan, copy.deepcopy(model))
    shapes = {name: tensor.shape for name, tensor in outcome.cut.state_dict().items()}
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == shapes
    widths = {group.name: group.channels for group in build_graph(outcome.cut, SHAPE).prunable}
    before = {group.name: group.channels for group in build_graph(model, SHAPE).prunable}
    assert {name: before[name] - widths[name] for name in taken(outcome)} == taken(outcome)


def test_the_loss_of_a_choice_is_that_of_the_network_without_all_that_was_chosen(monkeypatch):
    from prunecli.strategies.procedures.recovering import Recovering

    monkeypatch.setattr(Recovering, "train", lambda *_, **__: ())
    task = task_of(with_dead_layer())
    outcome = prune_by_loss(task, wishes(recover_macs=0.4))
    assert len(outcome.choices) > 5
    images = images_of(task)
    x, labels = images.taken(torch.arange(96), device=CPU, dtype=torch.float32)
    with torch.no_grad():
        loss = functional.cross_entropy(outcome.cut.eval()(x), labels)
    assert outcome.choices[-1]["loss"] == pytest.approx(float(loss), rel=1e-5)


def test_what_left_in_earlier_cuts_counts():
    graph = build_graph(Stages(), SHAPE)
    limits = Limits(widths={"inner": 32}, ratio=0.65, bounds=Bounds())
    inner = next(each for each in limits.candidates(graph, left_out={}) if each.name == "inner")
    assert inner.channels == 16
    assert limits.levels(graph, inner)[-1] == 20 - 16  # ⌊0.65 · 32⌋ in all
    assert replace(limits, widths={"inner": 64}).levels(graph, inner) == [0]


def test_what_a_choice_says():
    outcome = prune_by_loss(task_of(networks.randomised(Stages())), wishes())
    for number, choice in enumerate(outcome.choices, start=1):
        assert choice["step"] == number
        assert choice["criterion"] in POOL
        assert set(choice["alike"]) <= set(POOL) - {choice["criterion"]}
        assert 0 < choice["images"] <= 96
        assert isinstance(choice["loss"], float)


def test_no_group_loses_more_than_it_may():
    bounds = Bounds(min_channels=6, round_to=2, layer_ratio={"inner": 0.25})
    outcome = prune_by_loss(
        task_of(networks.randomised(Stages()), ratio=0.2), wishes(max_layer_ratio=0.5), bounds
    )
    widths = {group.name: group.channels for group in build_graph(outcome.cut, SHAPE).prunable}
    assert widths["stem"] >= 6
    assert widths["inner"] >= 12  # its own ratio: a quarter
    assert widths["last"] >= 6  # half would leave 5
    assert all(width % 2 == 0 for width in widths.values())


def test_the_steps_get_smaller_before_the_goal():
    task = task_of(networks.randomised(Stages()))
    whole = macs_left(task.graph, {})
    scores = task.rank_by(task.model, POOL)
    widths = {group.name: group.channels for group in task.graph.prunable}
    limits = Limits(widths=widths, ratio=0.65, bounds=Bounds())

    def counts(goal):
        proposer = Proposer(task.graph, scores, left_out={}, limits=limits, step=0.2 * whole, goal=goal)
        return {p.group: len(p.channels) for p in proposer.proposals({})}

    channel = whole - macs_left(task.graph, {"inner": (0,)})
    assert counts(0)["inner"] == round(0.2 * whole / channel) > 2
    assert counts(whole - channel)["inner"] == 1
    assert counts(whole - channel - 1)["inner"] == 2


def test_the_same_seed_gives_the_same_network():
    first, again = (prune_by_loss(task_of(networks.randomised(Stages()), seed=3), wishes()) for _ in range(2))
    assert first.choices == again.choices
    state = again.cut.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in first.cut.state_dict().items())


class Notes(Diary):
    """Keeps what it is told in memory."""

    def note(self, standing):
        self.standings = [*getattr(self, "standings", []), copy.deepcopy(standing)]


def test_a_way_that_goes_on_ends_as_one_that_was_not_interrupted():
    notes = Notes()
    whole = prune_by_loss(task_of(networks.randomised(Stages()), epochs=6, diary=notes), wishes())
    assert len(notes.standings) == 3  # before the last of four trainings
    resumed = Diary(standing=notes.standings[1])
    rest = prune_by_loss(task_of(networks.randomised(Stages()), epochs=6, diary=resumed), wishes())
    assert rest.choices == whole.choices
    assert rest.planned.plan.document() == whole.planned.plan.document()
    state = whole.cut.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in rest.cut.state_dict().items())
    assert [record.accuracy for record in rest.history] == [record.accuracy for record in whole.history]


@pytest.mark.parametrize(
    ("epochs", "recover_macs", "lengths"),
    [(2, 0.2, [1, 1]), (7, 0.2, [1, 1, 1, 4]), (12, 0.2, [3, 3, 3, 3]), (5, 0.9, [5])],
)
def test_epochs_are_divided_among_the_trainings(epochs, recover_macs, lengths, monkeypatch):
    from prunecli.strategies.procedures.recovering import Recovering

    asked = []

    def noted(self, network, bite, number, **_):
        asked.append((number, bite.epochs))
        return ()

    monkeypatch.setattr(Recovering, "train", noted)
    prune_by_loss(task_of(networks.randomised(Stages()), epochs=epochs), wishes(recover_macs=recover_macs))
    assert asked == list(enumerate(lengths))


def test_every_cut_is_told_in_one_line():
    told = []

    def progress(stage, done, total, figures=None):
        if total == 0:
            told.append(stage)

    prune_by_loss(task_of(networks.randomised(Stages()), epochs=4, progress=progress), wishes())
    lines = [line for line in told if line.startswith("recovery")]
    assert len(lines) == 3
    assert "of the MACs are gone" in lines[0]
    assert lines[-1].startswith("recovery 3 of 3: ")


def test_more_than_the_layers_may_lose_is_refused_before_any_work():
    with pytest.raises(WrongUse, match="can leave when no group loses more than 30%"):
        prune_by_loss(task_of(networks.randomised(Stages()), ratio=0.6), wishes(max_layer_ratio=0.3))


def test_a_ratio_that_takes_nothing_takes_nothing():
    outcome = prune_by_loss(task_of(networks.randomised(Stages()), ratio=0.01), wishes())
    assert not outcome.planned.plan.cuts
    assert outcome.history == ()


def test_when_no_criterion_of_the_pool_can_rank_there_is_nothing_to_take():
    task = task_of(networks.randomised(Stages()))
    task = replace(task, rank_by=lambda *_: {"l1": dict.fromkeys(["stem", "inner", "last"])})
    with pytest.raises(GateNotMet, match="nothing more may leave"):
        prune_by_loss(task, wishes())


@pytest.mark.parametrize(
    "wrong",
    [
        {"pool": ()},
        {"pool": ("l1", "l1")},
        {"step_macs": 0.0},
        {"recover_macs": 1.0},
        {"images": 0},
        {"max_layer_ratio": 1.0},
    ],
)
def test_wishes_out_of_range_are_refused(wrong):
    with pytest.raises(WrongUse):
        LossAwareWishes(**wrong)


def test_it_is_registered_with_its_paper():
    member = STRATEGIES["laasp"]
    assert member.parts is None
    assert member.epochs == 20
    assert "2506.20152" in member.source
    asked = {"loss_aware": wishes(), "bounds": Bounds(min_channels=9)}
    outcome = member.function(task_of(networks.randomised(Stages()), ratio=0.2, **asked))
    assert outcome.proof.equivalent
    assert all(g.channels >= 9 for g in build_graph(outcome.cut, SHAPE).prunable)


def linked(model=None):
    """An attention whose width inside is that of its stream: neither may shrink without the other."""
    torch.manual_seed(0)
    return networks.randomised(model or Encoder(32, heads=(8, 8)))


def test_groups_that_shrink_together_are_proposed_together():
    task = task_of(linked())
    limits = Limits(widths={}, ratio=0.65, bounds=Bounds())
    proposer = Proposer(
        task.graph,
        task.rank_by(task.model, POOL),
        left_out={},
        limits=limits,
        step=0.2 * macs_left(task.graph, {}),
        goal=0,
    )
    found = proposer.proposals({})
    assert {each.group for each in found} == {"embed", "mlp.0.0", "mlp.1.0"}
    for each in found:
        with_it = {"attention.0": 2, "attention.1": 2} if each.group == "embed" else {}
        assert {name: len(gone) for name, gone in each.removed.items()} == {
            each.group: len(each.channels),
            **with_it,
        }
        if with_it:
            assert len(each.channels) == 8  # four for a head of each attention
    [again, *_] = [each for each in proposer.proposals(found[0].removed) if each.group == "embed"]
    assert not set(again.channels).intersection(found[0].channels)


def test_linked_groups_leave_together_by_the_loss_of_the_cut_network():
    model = linked()
    task = task_of(copy.deepcopy(model), ratio=0.5)
    outcome = prune_by_loss(task, wishes(step_macs=0.1, recover_macs=0.5, exact=True))
    taken = [choice for choice in outcome.choices if choice["group"] == "embed"]
    assert taken
    assert all(set(choice["linked"]) == {"attention.0", "attention.1"} for choice in taken)
    assert outcome.proof.equivalent
    embed = outcome.cut.embed.weight.shape[0]
    assert embed == 32 - sum(choice["channels"] for choice in taken)
    assert [each.embed_dim for each in outcome.cut.attention] == [embed, embed]
    assert measure(outcome.cut, SHAPE).macs <= macs_left(task.graph, task.choose(model, 1.0).removed)


def test_what_shrinks_with_a_group_loses_no_more_than_it_may_either():
    graph = build_graph(linked(), SHAPE)
    embed = next(each for each in Limits(widths={}, ratio=1, bounds=Bounds()).candidates(graph, left_out={}))
    assert embed.name == "embed"
    assert Limits(widths={}, ratio=0.8, bounds=Bounds()).levels(graph, embed) == [*range(0, 25, 4)]
    own = Bounds(layer_ratio={"attention.1": 0.5})
    assert Limits(widths={}, ratio=0.8, bounds=own).levels(graph, embed) == [*range(0, 17, 4)]


def test_what_is_linked_with_a_protected_group_stays_whole():
    outcome = prune_by_loss(
        task_of(linked(), ratio=0.15),
        wishes(step_macs=0.1, recover_macs=0.9),
        Bounds(protect=("attention.0",)),
    )
    assert {choice["group"] for choice in outcome.choices} <= {"mlp.0.0", "mlp.1.0"}
