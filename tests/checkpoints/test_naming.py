from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from prunecli.checkpoints.naming import apply_masks, named_tensors, split_average, strip_prefix
from prunecli.errors import InputRefused

T = torch.ones(1)
NAMES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)


@given(NAMES, st.lists(st.sampled_from(["module.", "_orig_mod.", "model."]), max_size=3))
def test_prefixes_that_all_names_have_go_and_are_reported(names, prefixes):
    cut = "".join(prefixes)
    notes = []
    tensors, prefix = strip_prefix("x", {cut + name + ".weight": T for name in names}, notes)
    assert list(tensors) == [f"{name}.weight" for name in names]
    assert (prefix or "") == cut
    assert notes == (
        [f"stripped prefix '{cut}' from {len(names)} name{'s' * (len(names) != 1)}"] if cut else []
    )


def test_a_prefix_of_some_names_stays_with_a_note():
    notes = []
    tensors, prefix = strip_prefix("x", {"module.a": T, "b": T}, notes)
    assert (list(tensors), prefix) == (["module.a", "b"], None)
    assert notes == ["only 1 of 2 names start with 'module.': left as they are"]


def test_a_prefix_that_hides_a_second_tensor_is_refused():
    with pytest.raises(InputRefused, match=r"1 tensor with and without 'module\.'"):
        strip_prefix("x", {"module.a": T, "a": T}, [])


def test_the_count_of_an_averaged_model_goes_with_its_prefix():
    module = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2))
    tensors, prefix = strip_prefix("x", dict(module.state_dict()), [])
    assert (sorted(tensors), prefix) == (["bias", "weight"], "module.")


def test_masks_of_torch_are_applied_at_their_place_and_removed():
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Linear(2, 2))
    prune.ln_structured(layer[0], "weight", amount=1, n=2, dim=0)
    expected = layer[0].weight.detach()
    notes = []
    made = apply_masks("x", {k: v.detach() for k, v in layer.state_dict().items()}, notes)
    assert sorted(made) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    assert torch.equal(made["0.weight"], expected)
    assert int((made["0.weight"] == 0).sum()) == 2
    assert notes == ["applied and removed the masks of 1 tensor: 0.weight"]


def test_a_mask_keeps_the_weights_type():
    made = apply_masks("x", {"w_orig": torch.ones(2).half(), "w_mask": torch.tensor([0.0, 1.0])}, [])
    assert made["w"].dtype is torch.float16
    assert made["w"].tolist() == [0.0, 1.0]


def test_a_mask_that_does_not_fit_and_a_weight_beside_it_are_refused():
    with pytest.raises(InputRefused, match="the mask of w does not fit"):
        apply_masks("x", {"w_orig": torch.ones(2), "w_mask": torch.ones(3)}, [])
    with pytest.raises(InputRefused, match="holds w beside its w_orig"):
        apply_masks("x", {"w_orig": T, "w_mask": T, "w": T}, [])


def test_an_original_without_a_mask_stays():
    tensors = {"w_orig": T, "attn_mask": T}
    assert apply_masks("x", tensors, []) == tensors


def test_what_is_no_tensor_is_left_out_with_a_note():
    notes = []
    tensors = named_tensors("x", {"a": T, "n": 3, b"b": T, 7: T}, notes)
    assert list(tensors) == ["a", "b"]
    assert notes == ["left out 2 of 4 entries that are no tensors: n, 7"]


def test_two_copies_in_one_mapping_are_told_apart_by_their_first_words():
    both = {"model.a": torch.zeros(1), "model_ema.a": torch.ones(1)}
    assert split_average(both, ema=False, notes=[])[0].keys() == {"model.a"}
    taken, averaged = split_average(both, ema=True, notes=[])
    assert (taken["a"].item(), averaged) == (1.0, True)
    assert split_average({"conv.a": T, "bn.a": T}, ema=False, notes=[]) == ({"conv.a": T, "bn.a": T}, False)
