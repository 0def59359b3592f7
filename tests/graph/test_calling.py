"""How networks of several inputs are called, and that they are pruned and proved as called."""

from __future__ import annotations

import copy

import pytest
import torch
from coupling_networks import TiedHead, TwoInputs
from networks import Plain, randomised
from torch import nn

from prunecli.architectures.vision_operators import import_torchvision
from prunecli.errors import InputRefused
from prunecli.graph.calling import calling_of, callings_of
from prunecli.graph.channel_graph import build_graph
from prunecli.graph.inputs import Input
from prunecli.graph.meta import meta_copy
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.planning import make_plan
from prunecli.surgery.verification import verify

BERT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 8, "intermediate_size": 24}
T5 = {"d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 1, "num_heads": 8, "vocab_size": 50}
LLAMA = {
    **BERT, "num_key_value_heads": 2, "vocab_size": 50, "max_position_embeddings": 32, "head_dim": 4,
}  # fmt: skip


def transformers_model(kind, **settings):
    import_torchvision()
    transformers = pytest.importorskip("transformers")
    configuration = getattr(transformers, f"{kind.partition('For')[0].removesuffix('Model')}Config")
    return getattr(transformers, kind)(configuration(**settings))


def proved(model, shape, removed):
    """The sizes of the prunable groups, and the proof of a cut."""
    model = randomised(model)
    graph = build_graph(model, shape)
    planned = make_plan(graph, removed)
    small = carry_out(planned.plan, copy.deepcopy(model))
    assert planned.protected == {}
    found = verify(graph, model, small, removed, scalings=planned.plan.scalings)
    assert found.equivalent, found
    return {group.name: group.channels for group in graph.prunable}, small


class OptionalInput(Plain):
    def forward(self, x, mask=None, *, scale=1.0):
        y = super().forward(x) * scale
        return y if mask is None else y * mask


class Refusing(nn.Module):
    def __init__(self, message):
        super().__init__()
        self.linear, self.message = nn.Linear(4, 4), message

    def forward(self, x):
        raise ValueError(self.message)


def test_an_input_for_every_argument_that_the_forward_needs():
    (calling,) = callings_of(TwoInputs(), (3, 8, 8))
    assert calling.inputs == (Input((3, 8, 8)), Input((3, 8, 8)))
    (calling,) = callings_of(OptionalInput(), (3, 8, 8))
    assert calling.inputs == (Input((3, 8, 8)),)


def test_a_network_says_itself_what_it_takes():
    (calling,) = callings_of(TiedHead(), (3, 8, 8))
    assert calling.inputs == (Input((6,), below=11),)
    (ids,) = calling.random(torch.Generator().manual_seed(0), torch.float64, batch=100)
    assert ids.shape == (100, 6)
    assert (int(ids.min()), int(ids.max())) == (0, 10)


def test_what_the_likeliest_call_raises_is_raised():
    with pytest.raises(ValueError, match="not today"):
        calling_of(meta_copy(Refusing("not today")), (4,))
    with pytest.raises(InputRefused, match="not today"):
        build_graph(Refusing("not today"), (4,))


def test_an_encoder_of_text_takes_ids():
    model = transformers_model("BertModel", vocab_size=50, max_position_embeddings=32, **BERT)
    calling = calling_of(meta_copy(model).eval(), (12,))
    assert calling.names == ("input_ids",)
    assert calling.inputs == (Input((12,), below=50),)


def test_bert_loses_heads_of_four_and_hidden_units():
    model = transformers_model(
        "BertForSequenceClassification", vocab_size=50, max_position_embeddings=32, num_labels=3, **BERT
    )
    layer = "bert.encoder.layer.0"
    removed = {f"{layer}.attention.self.query": [1, 6], f"{layer}.intermediate.dense": [0, 5, 9]}
    sizes, small = proved(model, (12,), removed)
    assert {name: sizes[name] for name in removed} == dict(zip(removed, (8, 24), strict=True))
    assert small.bert.encoder.layer[0].attention.self.query.weight.shape == (24, 32)
    assert small.bert.encoder.layer[0].output.dense.weight.shape == (32, 21)


def test_an_encoder_and_a_decoder_take_ids_each():
    model = transformers_model("T5ForConditionalGeneration", **T5)
    calling = calling_of(meta_copy(model).eval(), (12,))
    assert calling.names == ("input_ids", "decoder_input_ids")
    assert calling.inputs == (Input((12,), below=50), Input((8,), below=50))
    inner = "DenseReluDense.wi"
    removed = {f"encoder.block.0.layer.1.{inner}": [2], f"decoder.block.0.layer.2.{inner}": [0, 7]}
    _, small = proved(model, (12,), removed)
    assert small.encoder.block[0].layer[1].DenseReluDense.wi.weight.shape == (23, 16)
    assert small.decoder.block[0].layer[2].DenseReluDense.wo.weight.shape == (16, 22)


def test_grouped_queries_of_llama_leave_with_their_rows_of_the_output():
    model = transformers_model("LlamaForCausalLM", **LLAMA)
    attention = "model.layers.0.self_attn"
    removed = {f"{attention}.q_proj#3": [3], "model.layers.0.mlp.gate_proj": [0, 1]}
    sizes, small = proved(model, (12,), removed)
    assert sizes[f"{attention}.q_proj#3"] == 4  # heads of queries on each of two heads of keys
    part = small.model.layers[0].self_attn
    assert part.q_proj.weight.shape == (24, 32)
    assert part.k_proj.weight.shape == part.v_proj.weight.shape == (8, 32)
    assert part.o_proj.weight.shape == (32, 24)
    assert small.model.layers[0].mlp.up_proj.weight.shape == (22, 32)


@pytest.mark.parametrize(
    ("name", "shape", "outputs", "group", "channels"),
    [
        # six maps have, joined, 3234 boxes: their offsets, and their 5 classes
        (
            "ssdlite320_mobilenet_v3_large",
            (3, 320, 320),
            [(2, 3234, 4), (2, 3234, 5)],
            "backbone.features.0.0.0",
            16,
        ),
        # what is proposed on three maps, and of three regions of each of two images 5 classes and their boxes
        (
            "fasterrcnn_mobilenet_v3_large_320_fpn",
            (3, 128, 128),
            [(6, 5), (6, 20)],
            "roi_heads.box_head.fc6",
            1024,
        ),
    ],
)
def test_a_detector_is_traced_up_to_the_boxes(name, shape, outputs, group, channels):
    import_torchvision()
    from torchvision.models import detection

    with torch.device("meta"):
        model = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=5)
    graph = build_graph(model, (3, 320, 320))
    assert graph.calling.inputs == (Input(shape),)
    assert [ref.shape for ref in graph.traces[0].outputs][-2:] == outputs
    assert {each.name: each.channels for each in graph.prunable}[group] == channels
