"""What consumers read, against what they made of it."""

from __future__ import annotations

import networks
import numpy as np
import pytest
import torch
from calibration.scenes import data, gathered, one_by_one, scene_of, whole
from networks import randomised
from torch import nn
from torch.nn import functional

from prunecli.calibration import patches
from prunecli.calibration.observing import Scene
from prunecli.calibration.patches import consumers_of, grid, partly_seen, take_patches, weight_rows
from prunecli.criteria.contract import Needs
from prunecli.graph.channel_graph import build_graph
from prunecli.scoring.filter_scores import score_filters

LAYERS = {
    "plain": (nn.Conv2d(3, 4, 3), (3, 9, 7)),
    "padded": (nn.Conv2d(3, 4, 3, padding=1), (3, 9, 7)),
    "strided": (nn.Conv2d(3, 4, (3, 5), stride=(2, 3), padding=(1, 2)), (3, 9, 11)),
    "dilated": (nn.Conv2d(3, 4, 3, padding=2, dilation=2), (3, 9, 7)),
    "same": (nn.Conv2d(3, 4, (2, 4), padding="same"), (3, 9, 7)),
    "valid": (nn.Conv2d(3, 4, 2, padding="valid"), (3, 9, 7)),
    "pointwise": (nn.Conv2d(3, 4, 1, bias=False), (3, 9, 7)),
    "strided pointwise": (nn.Conv2d(3, 4, 1, stride=2), (3, 9, 7)),
    "reflecting": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), (3, 9, 7)),
    "one dimension": (nn.Conv1d(3, 4, 3, stride=2, padding=1), (3, 20)),
    "three dimensions": (nn.Conv3d(2, 4, 3, padding=1), (2, 4, 5, 6)),
    "transposed": (nn.ConvTranspose2d(3, 4, 2, stride=2), (3, 5, 6)),
    "overlapping": (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), (3, 5, 6)),
    "transposed, dilated": (nn.ConvTranspose1d(3, 4, 3, stride=3, dilation=2), (3, 7)),
    "vectors": (nn.Linear(6, 4), (6,)),
    "tokens": (nn.Linear(6, 4), (11, 6)),
    "channels last": (nn.Linear(6, 4), (5, 7, 6)),
}


def read_by(layer, inputs):
    """The inputs that a layer's own function gets: padding with other than zeros comes before it."""
    if getattr(layer, "padding_mode", "zeros") == "zeros":
        return inputs
    return functional.pad(inputs, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)


@pytest.mark.filterwarnings("ignore:Using padding=.same.")
@pytest.mark.parametrize("case", LAYERS)
@pytest.mark.parametrize("most", [1, 6, 16])
def test_a_patch_times_the_weight_is_the_output_there(case, most):
    layer, shape = LAYERS[case]
    inputs = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs = layer(inputs)
        taken = take_patches(layer, read_by(layer, inputs), 3, most)
        made = taken.patches @ weight_rows(layer).T + (0 if layer.bias is None else layer.bias)
    axis = -1 if isinstance(layer, nn.Linear) else 1
    flat = outputs.movedim(axis, 1).reshape(3, 4, -1)
    assert taken.of == flat.shape[2]
    assert 1 <= len(taken.positions) <= most
    torch.testing.assert_close(made.transpose(1, 2), flat[:, :, taken.positions], rtol=1e-4, atol=1e-5)


def test_patches_are_those_of_unfold():
    layer, shape = LAYERS["strided"]
    inputs = torch.randn(2, *shape)
    taken = take_patches(layer, inputs, 2, 16)
    unfolded = functional.unfold(inputs, (3, 5), stride=(2, 3), padding=(1, 2))
    torch.testing.assert_close(taken.patches.transpose(1, 2), unfolded[:, :, taken.positions])


def test_positions_are_a_regular_grid():
    assert [at.tolist() for at in grid((8, 8), 16)] == [[1, 3, 5, 7]] * 2
    assert [at.tolist() for at in grid((56, 56), 8)] == [[7, 21, 35, 49], [14, 42]]
    assert [at.tolist() for at in grid((2, 1), 16)] == [[0, 1], [0]]
    assert [at.tolist() for at in grid((100,), 1)] == [[50]]
    assert [at.tolist() for at in grid((1, 9), 3)] == [[0], [1, 4, 7]]


def consumers(network, *, images=5, sizes=(2, 3), **kwargs):
    scene = scene_of(network, images=images, **kwargs)
    return gathered(scene, data(images, sizes=sizes), Needs.CONSUMERS)


def owners(found, layer, consumer):
    (each,) = [each for each in found[layer]["consumers"] if each.layer == consumer]
    return each.owner.tolist()


def test_columns_belong_to_the_filters_that_make_them():
    assert owners(consumers(networks.Plain()), "conv1", "conv2") == np.repeat(np.arange(8), 9).tolist()
    flattened = consumers(networks.FlattenLinear())
    assert owners(flattened, "stem", "linear1") == np.repeat(np.arange(6), 16).tolist()
    last = consumers(networks.ChannelsLastFlatten())
    assert owners(last, "stem", "linear1") == list(range(6)) * 16
    joined = consumers(networks.Concatenation())
    assert owners(joined, "right", "join") == [-1] * 36 + np.repeat(np.arange(6), 9).tolist()


def test_channels_pass_through_a_depthwise_convolution():
    found = consumers(networks.Depthwise())
    for layer in ("expand", "depthwise"):
        assert [each.layer for each in found[layer]["consumers"]] == ["project"]
        assert owners(found, layer, "project") == list(range(8))


def test_samples_are_what_the_consumer_read():
    scene, batches = scene_of(networks.Plain()), data()
    (found,) = gathered(scene, batches, Needs.CONSUMERS)["conv1"]["consumers"]
    seen = []
    scene.model.conv2.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        scene.model(whole(batches)[0][0])
    unfolded = functional.unfold(seen[0], 3, padding=1)
    at = [row * 8 + column for row in (1, 3, 5, 7) for column in (1, 3, 5, 7)]
    torch.testing.assert_close(found.samples, unfolded[:, :, at].transpose(1, 2).flatten(0, 1))
    assert torch.equal(found.weight, scene.model.conv2.weight.flatten(1))


@pytest.mark.parametrize("name", ["Plain", "SharedLayer", "FusedAttention", "Transposed"])
def test_how_images_are_batched_does_not_matter(name):
    scene, batches = scene_of(getattr(networks, name)()), data()
    at_once = gathered(scene, whole(batches), Needs.CONSUMERS)
    for other in (batches, one_by_one(batches)):
        for layer, attributes in gathered(scene, other, Needs.CONSUMERS).items():
            for each, expected in zip(
                attributes.get("consumers", ()), at_once[layer].get("consumers", ()), strict=True
            ):
                assert each.layer == expected.layer
                torch.testing.assert_close(each.samples, expected.samples)


def test_all_calls_of_a_shared_layer_are_sampled():
    found = consumers(networks.SharedLayer())
    assert [each.layer for each in found["cell"]["consumers"]] == ["cell", "head.linear"]
    # 16 positions of an image are shared between three calls: 5, a grid of 2 by 2 of each.
    assert found["cell"]["consumers"][0].samples.shape == (3 * 5 * 4, 72)


def test_layers_that_write_to_one_stream_share_their_consumers():
    found = consumers(networks.Residual())
    assert found["stem"]["consumers"][1] is found["outer"]["consumers"][1]
    assert found["stem"]["consumers"][1].layer == "inner"


@pytest.mark.parametrize(
    ("images", "columns", "rows"), [(5, 72, 5 * 16), (40, 72, 40 * 16), (600, 72, 600), (1100, 72, 1024)]
)
def test_about_a_thousand_patches_are_kept(images, columns, rows):
    found = consumers(networks.Plain(), images=images, sizes=(images // 2, images - images // 2))
    assert found["conv1"]["consumers"][0].samples.shape == (rows, columns)


def test_wide_consumers_keep_fewer(monkeypatch):
    monkeypatch.setattr(patches, "ENTRIES", 72 * 20)
    found = consumers(networks.Plain(), images=40, sizes=(31, 9))
    (few,) = found["conv1"]["consumers"]
    assert few.samples.shape == (20, 72)
    monkeypatch.setattr(patches, "ENTRIES", 72 * 40)  # one position of every image
    (every,) = consumers(networks.Plain(), images=40, sizes=(31, 9))["conv1"]["consumers"]
    torch.testing.assert_close(few.samples, every.samples[::2])


def test_what_cannot_be_told_apart_is_left_out():
    assert "consumers" not in consumers(networks.Grouped())["stem"]
    assert "consumers" not in consumers(networks.ChannelShuffle())["stem"]
    # The attention module reads the embedding unseen, beside the linear layer.
    assert set(consumers_of(scene_of(networks.TorchAttention()))["embed"]) == {"attention", "linear"}
    assert "consumers" not in consumers(networks.TorchAttention())["embed"]


class Divided(nn.Module):
    """Channels that a convolution in groups and a plain one read."""

    def __init__(self):
        super().__init__()
        self.stem = networks.conv(3, 16)
        self.grouped = networks.conv(16, 16, groups=8)
        self.plain = networks.conv(16, 6)
        self.first, self.second = networks.Head(16), networks.Head(6)

    def forward(self, x):
        x = functional.relu(self.stem(x))
        return self.first(self.grouped(x)) + self.second(self.plain(x))


def test_a_layer_is_left_out_when_one_of_its_readers_is_not_seen():
    scene = scene_of(Divided())
    assert list(consumers_of(scene)["stem"]) == ["plain"]
    assert partly_seen(scene) == {"stem"}
    found = gathered(scene, data(), Needs.CONSUMERS)
    assert "consumers" not in found["stem"]
    assert [each.layer for each in found["grouped"]["consumers"]] == ["first.linear"]


class Misleading(networks.Plain):
    """A convolution that does not do what its settings say."""

    def __init__(self):
        super().__init__()
        self.conv2.stride = (2, 2)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.head(functional.conv2d(x, self.conv2.weight, self.conv2.bias, padding=2, dilation=2))


def test_a_layer_that_does_otherwise_than_it_says_is_not_sampled():
    assert "consumers" not in consumers(Misleading())["conv1"]


def planted():
    """A network whose filters 1 and 4 of the first layer are equal, 2 is silent and 5 is not read."""
    model = randomised(networks.Plain())
    with torch.no_grad():
        for tensor in (model.conv1.weight, model.bn1.weight, model.bn1.bias, model.bn1.running_mean):
            tensor[4] = tensor[1]
        model.bn1.running_var[4] = model.bn1.running_var[1]
        model.bn1.weight[2] = 0
        model.bn1.bias[2] = -1
        model.conv2.weight[:, 5] = 0
        model.conv2.weight[:, 4] = model.conv2.weight[:, 1]
    return model


def test_planted_filters_are_found_by_every_criterion_that_sees_them():
    model = planted()
    scene = Scene(model, build_graph(model, (3, 8, 8)), 40)
    needs = (Needs.CONSUMERS, Needs.ACTIVATION, Needs.ZERO_SHARE, Needs.MAP_RANK, Needs.NUCLEAR_DROP)
    found = gathered(scene, data(40, sizes=(16, 24), dtype=torch.float32), *needs)
    names = ["thinet", "cp_lasso", "cap", "act_corr", "chip", "hrank", "apoz", "act_l2", "entropy", "lda"]
    names += ["mean_act", "std_act"]
    scores = score_filters(model, scene.graph, names, gathered=found)["conv1"]
    for name in names:
        assert int(scores[name].argmin()) in ({1, 2, 4} if name == "act_corr" else {2, 5}), name
    for name in ("apoz", "act_l2", "entropy", "lda", "hrank", "chip", "act_corr", "thinet", "cp_lasso"):
        assert scores[name][2] == 0, name
    # What is not read is worth nothing where nothing makes up for others; equal filters are worth one.
    assert scores["cp_lasso"][5] == 0
    assert set(scores["thinet"].argsort()[:2].tolist()) == {2, 5}
    assert min(scores["cp_lasso"][[1, 4]]) == 0
    assert min(scores["cap"][[1, 4]]) < scores["cap"].median()
    assert scores["act_corr"][[1, 4]].abs().max() < 1e-5
    torch.testing.assert_close(scores["chip"][1], scores["chip"][4])
