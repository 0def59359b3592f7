"""Every network of the zoo, pruned by the whole road, is judged twice: by its masked original, and elsewhere.

The masked original judges in `prune` itself. Elsewhere is another process, which opens the written file with
`prunecli.load` and computes.
"""

from __future__ import annotations

import inspect

import networks
import pytest
import torch
from graph.test_every_coupling import IMAGE, ROWS
from loading_elsewhere import Elsewhere, flat
from safetensors.torch import save_model

from prunecli.checkpoints import sample_models
from prunecli.graph.channel_graph import build_graph
from prunecli.workflows.opening import Opening
from prunecli.workflows.prune import prune

ZOO = {
    **{network.__name__: (network, IMAGE) for network in networks.PRUNED_EVERYWHERE},
    **{kind: (network, shape) for kind, (network, shape, *_) in ROWS.items()},
}


@pytest.fixture(scope="module")
def elsewhere():
    process = Elsewhere()
    yield process
    process.close()


def assert_the_same_elsewhere(elsewhere, result, path, shape, *, model=None):
    calling = build_graph(result.model, shape).calling
    dtype = next(result.model.parameters()).dtype
    args, kwargs = calling.arguments(calling.random(torch.Generator().manual_seed(0), dtype, batch=2))
    inputs = path.with_suffix(".inputs")
    torch.save((args, kwargs), inputs)
    with torch.no_grad():
        expected = list(flat(result.model.eval()(*args, **kwargs)))
    found = elsewhere.outputs(path, model=model, inputs=inputs)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("kind", ZOO)
def test_the_masked_original_and_another_process_agree(kind, elsewhere, tmp_path):
    network, shape = ZOO[kind]
    whole, small = tmp_path / "whole.safetensors", tmp_path / "small.safetensors"
    model = networks.randomised(network())
    save_model(model, str(whole))
    spec = f"{inspect.getsourcefile(network)}:{network.__name__}"
    opening = Opening(checkpoint=str(whole), model=spec, input_shape=shape)
    result = prune(opening, ratio=0.5, output=str(small))
    assert result.verification.equivalent
    assert sum(p.numel() for p in result.model.parameters()) < sum(p.numel() for p in model.parameters())
    assert_the_same_elsewhere(elsewhere, result, small, shape, model=spec)


@pytest.mark.parametrize("name", sorted(sample_models()))
@pytest.mark.parametrize("residual", ["coupled", "scatter"])
def test_samples_agree_too(name, residual, elsewhere, tmp_path):
    small = tmp_path / "small.safetensors"
    opening = Opening(checkpoint=str(sample_models()[name]))
    result = prune(opening, ratio=0.4, residual=residual, output=str(small))
    assert result.verification.equivalent
    assert_the_same_elsewhere(elsewhere, result, small, (1, 8, 8))
