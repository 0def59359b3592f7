"""Folders that from_pretrained opens, where a configuration says the widths; refusals where none does."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from prunecli.errors import InputRefused, WorkFailed
from prunecli.exporters.transformers_scales import take_up_scales
from prunecli.exporters.transformers_widths import NoConfiguration, Widths, fitting_configurations, widths_of
from prunecli.torchvision_import import load_torchvision
from prunecli.workflows.export import export
from prunecli.workflows.opening import Opening
from prunecli.workflows.prune import prune

load_torchvision()  # transformers fails where torchvision does not load
transformers = pytest.importorskip("transformers")

BERT = {
    **{"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"intermediate_size": 32, "max_position_embeddings": 12, "num_labels": 3},
}
FACTORY = """
import torch
from transformers import BertConfig, BertForSequenceClassification

def bert():
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(**{settings}))
"""


@pytest.fixture
def opening(tmp_path):
    """A checkpoint of a small BERT with random weights."""
    path = tmp_path / "factory.py"
    path.write_text(FACTORY.replace("{settings}", repr(BERT)))
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(transformers.BertConfig(**BERT))
    save_file(model.state_dict(), tmp_path / "bert.safetensors")
    return Opening(checkpoint=str(tmp_path / "bert.safetensors"), model=f"{path}:bert", input_shape=(8,))


def pruned(opening, tmp_path, **given):
    from dataclasses import replace

    path = str(tmp_path / "small.safetensors")
    prune(opening, output=path, min_channels=1, **given)
    return replace(opening, checkpoint=path)


def test_widths_that_a_configuration_has_are_opened_by_from_pretrained(opening, tmp_path):
    small, folder = pruned(opening, tmp_path, ratio=0.5), tmp_path / "small"
    found = export(small, to="transformers", output=str(folder))
    assert found.check.equivalent
    assert found.check.runtime.startswith("transformers ")
    assert found.notes[-2] == "opens with BertForSequenceClassification.from_pretrained"
    assert {each.name for each in folder.iterdir()} == {"model.safetensors", "config.json"}
    configuration = json.loads((folder / "config.json").read_text())
    assert {name: configuration[name] for name in ("hidden_size", "intermediate_size")} == {
        "hidden_size": 8,
        "intermediate_size": 16,
    }
    assert found.output["bytes"] == sum(each.stat().st_size for each in folder.iterdir())


def test_layers_of_different_widths_are_refused_with_the_first_that_differs(opening, tmp_path):
    small = pruned(opening, tmp_path, ratio=0.5, layer_ratio={"*layer.1.intermediate*": 0.25})
    with pytest.raises(WorkFailed, match=r"cannot express this network: .*layer\.\d\.intermediate") as caught:
        export(small, to="transformers", output=str(tmp_path / "small"))
    assert "prune all layers alike" in caught.value.hints[0]
    assert not (tmp_path / "small").exists()


def test_a_network_of_another_library_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="is no model of transformers"):
        export(Opening(), to="transformers", output=str(tmp_path / "small"))


def test_heads_that_no_size_shows_are_taken_from_the_modules():
    configuration = transformers.LlamaConfig(
        **{"vocab_size": 20, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1},
        **{"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4},
    )
    kind = transformers.LlamaForCausalLM
    smaller = transformers.LlamaConfig.from_dict(
        {
            **configuration.to_dict(),
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "intermediate_size": 8,
        }
    )
    with torch.device("meta"):
        wanted = widths_of(kind(smaller))
    found = list(fitting_configurations(kind, configuration, wanted))
    facts = [(each.num_attention_heads, each.num_key_value_heads, each.head_dim) for each in found]
    assert (2, 1, 4) in facts
    assert {each.intermediate_size for each in found} == {8}
    assert {each.hidden_size for each in found} == {16}


def test_where_no_configuration_fits_the_text_says_what_differs():
    configuration = transformers.BertConfig(**BERT)
    with torch.device("meta"):
        whole = widths_of(transformers.BertModel(configuration))
    shapes = {**whole.shapes, "encoder.layer.1.intermediate.dense.bias": (31,)}
    with pytest.raises(NoConfiguration, match=r"layer\.0\.inter.* is 32x16, by one conf.* 31x16"):
        list(fitting_configurations(transformers.BertModel, configuration, Widths(shapes, whole.attributes)))


class Attention(nn.Module):
    """Queries and keys of a width, of one layer or of two, and the scale between them."""

    def __init__(self, scaling, *, fused):
        from transformers.pytorch_utils import Conv1D

        super().__init__()
        self.scaling = scaling
        self.c_attn = Conv1D(12, 4) if fused else None
        self.q_proj, self.k_proj = (None, None) if fused else (nn.Linear(4, 4), nn.Linear(4, 4))

    def forward(self, x):
        q, k = self.c_attn(x).chunk(3, -1)[:2] if self.c_attn else (self.q_proj(x), self.k_proj(x))
        return q @ k.transpose(-2, -1) * self.scaling


@pytest.mark.parametrize("fused", [False, True])
def test_another_scale_is_taken_up_by_the_queries(fused):
    before, after = Attention(0.25, fused=fused), Attention(0.5, fused=fused)
    for parameter in before.parameters():
        nn.init.normal_(parameter)
    after.load_state_dict(before.state_dict())
    x = torch.randn(2, 3, 4)
    assert not torch.allclose(before(x), after(x))
    take_up_scales(after, before)
    torch.testing.assert_close(before(x), after(x))
