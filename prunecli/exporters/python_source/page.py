"""The file: what it is, the parts, the forward pass, and how the weights are read."""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

PAGE = Template('''"""$title

It needs torch and nothing else. The weights lie beside it, in WEIGHTS.

    from $module import load
    network = load()$mode
"""

import json
$imports
from math import prod
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

WEIGHTS = Path(__file__).with_name($weights_literal)
TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}
$aten

class Parts(nn.Module):
    """Named parts of the network; what they compute together stands in `Network.forward`."""

    def __init__(self, parts=None, unsaved=()):
        super().__init__()
        for name, part in (parts or {}).items():
            if isinstance(part, nn.Parameter):
                self.register_parameter(name, part)
            elif isinstance(part, torch.Tensor):
                self.register_buffer(name, part, persistent=name not in unsaved)
            else:
                self.add_module(name, part)

    def __getitem__(self, index):
        return getattr(self, str(index))


class Network(Parts):
    """Inputs: $inputs."""

    def __init__(self):
        super().__init__()
$init

    def forward(self, $arguments):
$forward
$train

def load(path=WEIGHTS):
    """The network with its weights, in inference mode."""
    network = Network()
    tensors = dict(network.named_parameters(remove_duplicate=False))
    tensors.update(network.named_buffers(remove_duplicate=False))
    for name, values in read(path).items():
        if tensors[name].shape != values.shape:
            raise ValueError(f"{name} is {tuple(values.shape)}, not {tuple(tensors[name].shape)}")
        tensors[name].data = values
    return network.eval()


def read(path):
    """Name -> tensor of a safetensors file: the length of a header, the header in JSON, the numbers."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, (start, end) = TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        if start == end:
            tensors[name] = torch.empty(shape, dtype=dtype)
        else:
            values = torch.frombuffer(data, dtype=dtype, count=prod(shape), offset=start)
            tensors[name] = values.reshape(shape).clone()
    return tensors
''')

TRAIN_REFUSED = '''
    def train(self, mode=True):
        """For inference only: what `forward` does is what the network does in evaluation mode."""
        if mode:
            raise RuntimeError("this file computes inference only")
        return super().train(mode)
'''
OPERATORS = "aten = torch.ops.aten\n"


def page(
    *,
    title: str,
    module: str,
    weights: str,
    inputs: str,
    arguments: Sequence[str],
    init: Sequence[str],
    forward: Sequence[str],
    trains: bool,
) -> str:
    """The text of the file."""
    body = _indented(forward)
    imports = [f"import {name}" for name in ("math", "operator") if f"{name}." in body]
    return PAGE.substitute(
        title=title,
        module=module,
        weights_literal=repr(weights),
        mode="  # for inference; network.train() goes on with training" if trains else "  # for inference",
        imports="\n".join(imports),
        aten=OPERATORS if "aten." in body else "",
        inputs=inputs,
        init=_indented(init) or "        pass",
        arguments=", ".join(arguments),
        forward=body,
        train="" if trains else TRAIN_REFUSED,
    ).replace("import json\n\nfrom", "import json\nfrom")


def _indented(lines: Sequence[str]) -> str:
    return "\n".join(f"        {part}" for line in lines for part in line.split("\n"))
