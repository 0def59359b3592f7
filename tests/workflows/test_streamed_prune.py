"""A streamed pruning writes the file that an ordinary one writes, byte by byte, and holds little of it."""

from __future__ import annotations

import json
import weakref
from dataclasses import replace

import networks
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from prunecli.checkpoints import sample_models
from prunecli.checkpoints.mapping import Maps
from prunecli.errors import GateNotMet, InputRefused, WorkFailed, WrongUse
from prunecli.surgery.plan import Plan
from prunecli.workflows import streamed_checkpoint, streamed_prune
from prunecli.workflows.opening import Opening
from prunecli.workflows.prune import prune
from prunecli.workflows.score import score

COUPLINGS = (
    "Residual",
    "PaddedShortcut",
    "Concatenation",
    "ChannelShuffle",
    "Grouped",
    "DepthwiseMultiplier",
    "Transposed",
    "GroupedTransposed",
    "FlattenLinear",
    "BareParameters",
    "SharedLayer",
    "TiedWeights",
    "GroupNorm",
    "FusedAttention",
    "ScaledByWidth",
)


def both(opening, tmp_path, **asked):
    """The bytes of the file that an ordinary pruning writes, those of a streamed one, and its result."""
    paths = [tmp_path / name for name in ("held.safetensors", "streamed.safetensors")]
    prune(opening, output=str(paths[0]), force=True, stream=False, **asked)
    result = prune(opening, output=str(paths[1]), force=True, stream=True, **asked)
    return paths[0].read_bytes(), paths[1].read_bytes(), result


def saved(name, folder, *, change=lambda state: state, dtype=torch.float32):
    """A network of the tests in a file, opened by a factory."""
    model = networks.randomised(getattr(networks, name)()).to(dtype)
    source = folder / "net.py"
    source.write_text(f"import networks\n\n\ndef build():\n    return networks.{name}()\n")
    path = folder / f"{name}.safetensors"
    save_file({key: tensor.clone() for key, tensor in change(model.state_dict()).items()}, path)
    return Opening(checkpoint=str(path), model=f"{source}:build", input_shape=(3, 8, 8))


@pytest.fixture
def resnet():
    return Opening(checkpoint=str(sample_models()["resnet8-digits"]))


@pytest.mark.parametrize(
    ("criterion", "scope"),
    [("l1", "local"), ("l2", "global"), ("fpgm", "local"), ("random", "global"), ("bn_gamma", "global")],
)
def test_the_file_is_the_ordinary_one(criterion, scope, sample, tmp_path):
    held, streamed, result = both(sample, tmp_path, ratio=0.5, criterion=criterion, scope=scope)
    assert streamed == held
    assert result.verification.equivalent
    assert "sampled rows" in result.verification.method


@pytest.mark.parametrize("name", COUPLINGS)
def test_every_coupling_is_cut_as_otherwise(name, tmp_path):
    held, streamed, result = both(saved(name, tmp_path), tmp_path, ratio=0.5)
    assert streamed == held
    assert result.verification.max_rel_error < 1e-12


def test_branches_that_are_scattered_back_are_cut_as_otherwise(resnet, tmp_path):
    held, streamed, _ = both(resnet, tmp_path, ratio=0.5, residual="scatter", plan_out=str(tmp_path / "plan"))
    assert streamed == held
    held, streamed, _ = both(resnet, tmp_path, plan=str(tmp_path / "plan"))
    assert streamed == held
    again = Opening(checkpoint=str(tmp_path / "streamed.safetensors"))
    assert prune(again, ratio=0.2, residual="scatter", stream=True).verification.equivalent


def test_half_precision_stays_and_is_scored_as_otherwise(tmp_path):
    opening = saved("Residual", tmp_path, dtype=torch.bfloat16)
    held, streamed, _ = both(opening, tmp_path, ratio=0.5, scope="global", criterion="l1")
    assert streamed == held
    assert load_file(tmp_path / "streamed.safetensors")["stem.weight"].dtype == torch.bfloat16


def test_a_file_of_several_types_comes_to_the_type_of_the_network(tmp_path):
    def mixed(state):
        return {n: t.double() if "conv" in n else t.half() if "bn" in n else t for n, t in state.items()}

    opening = saved("Plain", tmp_path, change=mixed)
    held, streamed, _ = both(opening, tmp_path, ratio=0.5)
    assert streamed == held


def test_counters_that_are_missing_begin_at_zero(tmp_path):
    def without(state):
        return {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}

    held, streamed, _ = both(saved("Plain", tmp_path, change=without), tmp_path, ratio=0.5)
    assert streamed == held


def test_shards_come_out_as_one_file(resnet, tmp_path):
    state = load_file(resnet.checkpoint)
    names = sorted(state)
    places = {name: f"part-{number % 3}.safetensors" for number, name in enumerate(names)}
    for place in sorted(set(places.values())):
        save_file({f"module.{n}": state[n] for n in names if places[n] == place}, tmp_path / place)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {f"module.{name}": place for name, place in places.items()}}))
    held, streamed, _ = both(Opening(checkpoint=str(index)), tmp_path, ratio=0.5)
    assert streamed == held


def test_a_pruned_file_is_pruned_again(resnet, tmp_path):
    first = str(tmp_path / "first.safetensors")
    prune(resnet, ratio=0.25, output=first, stream=True)
    held, streamed, _ = both(Opening(checkpoint=first), tmp_path, ratio=0.25)
    assert streamed == held


def test_a_saved_plan_is_carried_out(resnet, tmp_path):
    plan = str(tmp_path / "plan.json")
    dry = prune(resnet, ratio=0.5, plan_out=plan, dry_run=True, stream=True)
    assert dry.output is None
    assert "as they would be written" in dry.verification.method
    held, streamed, _ = both(resnet, tmp_path, plan=plan)
    assert streamed == held


def test_the_result_is_the_ordinary_one_but_for_the_proof(resnet, tmp_path):
    held = prune(resnet, ratio=0.5, stream=False, dry_run=True).document()
    streamed = prune(resnet, ratio=0.5, stream=True, dry_run=True).document()
    for changed in ("verification", "seconds"):
        held.pop(changed), streamed.pop(changed)
    held["checkpoint"]["sha256"] = None  # a dry run does not read the whole file
    assert streamed == held


def test_scores_are_the_ordinary_ones(resnet):
    asked = {"criteria": ["l1", "l2", "fpgm", "lamp", "random", "bn_gamma"], "scope": "global"}
    assert score(resnet, stream=True, **asked).document() == score(resnet, stream=False, **asked).document()


class Alive(TorchDispatchMode):
    """The bytes of all tensors outside of maps that are alive at once, and the most that ever were."""

    def __init__(self):
        super().__init__()
        self.most, self._bytes, self._holders = 0, {}, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in pytree.tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu":
                self._note(tensor)
        return result

    def _note(self, tensor):
        key = tensor.untyped_storage().data_ptr()
        if not key or any(place <= key < place + size for place, size in MAPPED):
            return
        self._bytes[key] = tensor.untyped_storage().nbytes()
        self._holders[key] = self._holders.get(key, 0) + 1
        weakref.finalize(tensor, self._drop, key)
        self.most = max(self.most, sum(self._bytes.values()))

    def _drop(self, key):
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._bytes[key]


MAPPED: list[tuple[int, int]] = []


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_more_than_a_few_pieces_are_held(dtype, tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\ndef build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2000), nn.ReLU(), nn.Linear(2000, 1000),"
        " nn.ReLU(), nn.Linear(1000, 10))\n"
    )
    model = torch.nn.Sequential(
        *[torch.nn.Flatten(), torch.nn.Linear(192, 2000), torch.nn.ReLU(), torch.nn.Linear(2000, 1000)],
        *[torch.nn.ReLU(), torch.nn.Linear(1000, 10)],
    )
    path = tmp_path / "wide.safetensors"
    save_file(model.to(dtype).state_dict(), path)
    opening = Opening(checkpoint=str(path), model=f"{tmp_path / 'net.py'}:build", input_shape=(3, 8, 8))
    load = Maps.load

    def noted(maps, source):
        with _disable_current_modes():
            found = load(maps, source)
        MAPPED[:] = [
            *MAPPED,
            *((start, len(p)) for start, p in zip(maps._addresses, maps._pages, strict=True)),
        ]
        return found

    monkeypatch.setattr(Maps, "load", noted)
    piece = 64 << 10
    for module in (streamed_checkpoint, streamed_prune):
        monkeypatch.setattr(module, "PIECE_BYTES", piece)
    with Alive() as alive:
        prune(opening, ratio=0.5, output=str(tmp_path / "small.safetensors"), stream=True)
    # The largest tensor has 2,000,000 numbers. Rows of the proof are float64: 8 of 2000, masked and cut.
    assert piece < alive.most < 16 * piece < 2_000_000 * dtype.itemsize / 3


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-9] + b"\1" + data[-8:]])
def test_a_damaged_write_is_found(damage, resnet, tmp_path, monkeypatch):
    sync = streamed_prune.write_streamed.__globals__["write_whole"].__globals__["Files"].sync

    def damaged(files, path):
        if path.is_file():
            path.write_bytes(damage(path.read_bytes()))
        sync(files, path)

    monkeypatch.setattr("prunecli.checkpoints.files.Files.sync", damaged)
    output = tmp_path / "small.safetensors"
    with pytest.raises(WorkFailed, match=r"not what was meant|does not read back"):
        prune(resnet, ratio=0.5, output=str(output), stream=True)
    assert list(tmp_path.iterdir()) == []


def test_rows_cut_from_the_wrong_places_are_not_written(resnet, tmp_path, monkeypatch):
    cut = streamed_prune.cut_pieces

    def shifted(tensor, change, dtype, *, most_bytes):
        kept = {axis: np.sort((at + 1) % tensor.shape[axis]) for axis, at in change.kept.items()}
        return cut(tensor, replace(change, kept=kept), dtype, most_bytes=most_bytes)

    monkeypatch.setattr(streamed_prune, "cut_pieces", shifted)
    with pytest.raises(WorkFailed, match="does not compute what the masked original computes"):
        prune(resnet, ratio=0.5, output=str(tmp_path / "small.safetensors"), stream=True)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_does_not_cut_what_leaves_is_not_written(resnet, tmp_path, monkeypatch):
    choose = streamed_prune.remove_channels

    def wrong(*given, **more):
        outcome = choose(*given, **more)
        first, *others = outcome.planned.plan.cuts
        gone = tuple(sorted({(position + 1) % first.size for position in first.removed}))
        plan = replace(outcome.planned.plan, cuts=(replace(first, removed=gone), *others))
        assert isinstance(plan, Plan)
        return replace(outcome, planned=replace(outcome.planned, plan=plan))

    monkeypatch.setattr(streamed_prune, "remove_channels", wrong)
    for output in (str(tmp_path / "small.safetensors"), None):
        with pytest.raises(WorkFailed, match="does not compute"):
            prune(resnet, ratio=0.5, criterion="random", output=output, stream=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_not_finite_is_refused_in_the_same_words(stream, tmp_path):
    def broken(state):
        return {n: torch.full_like(t, torch.nan) if n == "bn1.bias" else t for n, t in state.items()}

    with pytest.raises(InputRefused, match=r"bn1\.bias holds \d+ NaN of") as refused:
        prune(saved("Plain", tmp_path, change=broken), ratio=0.5, stream=stream)
    assert refused.value.hints[0].startswith("1 tensor not finite")


def test_another_network_is_refused(resnet, tmp_path):
    opening = saved("Plain", tmp_path)
    with pytest.raises(InputRefused, match="does not fit"):
        prune(replace(opening, checkpoint=resnet.checkpoint), ratio=0.5, stream=True)


def test_nothing_to_prune_is_said(resnet):
    with pytest.raises(GateNotMet, match="nothing could be pruned"):
        prune(resnet, ratio=0.001, stream=True)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"strategy": "ghfp"}, "a strategy that trains"),
        ({"strategy": "iterative", "epochs": 0}, "the strategy iterative"),
        ({"criterion": "taylor"}, "the criterion taylor"),
        ({"criterion": "dep_l2"}, "the criterion dep_l2"),
        ({"evaluate": True}, "measuring accuracy"),
        ({"output": "-"}, "standard output"),
    ],
)
def test_what_takes_the_network_whole_is_refused_in_a_line(asked, what, resnet):
    with pytest.raises(WrongUse, match=f"which {what} does not allow"):
        prune(resnet, ratio=0.5, stream=True, **asked)


def test_masks_are_not_applied_tensor_by_tensor(tmp_path):
    def masked(state):
        mask = torch.ones_like(state["conv1.weight"])
        rest = {name: tensor for name, tensor in state.items() if name != "conv1.weight"}
        return {**rest, "conv1.weight_orig": state["conv1.weight"], "conv1.weight_mask": mask}

    with pytest.raises(WrongUse, match="pruning masks"):
        prune(saved("Plain", tmp_path, change=masked), ratio=0.5, stream=True)


def test_the_memory_decides_where_nobody_says(tmp_path, monkeypatch):
    opening = Opening(checkpoint=str(sample_models()["vgg6bn-digits"]))
    choice = "prunecli.workflows.streaming_choice"
    assert "sampled rows" not in prune(opening, ratio=0.5).verification.method
    monkeypatch.setattr(f"{choice}.ALWAYS_HELD_BYTES", 1000)
    assert "sampled rows" not in prune(opening, ratio=0.5).verification.method
    monkeypatch.setattr(f"{choice}.available_bytes", lambda: 148_432 * 6)
    assert "sampled rows" in prune(opening, ratio=0.5).verification.method
    assert "sampled rows" not in prune(opening, ratio=0.5, criterion="dep_l2").verification.method
