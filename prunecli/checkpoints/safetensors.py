"""Reading safetensors files: our strict look at the header, then the library; large files stay mapped."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from prunecli.checkpoints.header import SPECIAL_TYPES, Header, read_header
from prunecli.checkpoints.source import Source
from prunecli.checkpoints.wording import shown
from prunecli.errors import InputRefused, WorkFailed

# Smaller files are read into memory: then nothing that happens to the file later can reach the tensors.
MAPPED_FROM_BYTES = 64 << 20


def load_safetensors(source: Source) -> tuple[dict[str, Tensor], Header]:
    """The tensors in the file's order, and the header; raises InputRefused.

    A file of 64 MiB or more is mapped privately: its pages are read on first use, and writing to a tensor
    never writes to the file.
    """
    from safetensors import SafetensorError

    header = read_header(source)
    refuse_special(source, header)
    try:
        tensors = _mapped(source) if _can_be_mapped(source) else _copied(source)
    except MemoryError as error:
        raise WorkFailed(f"not enough memory to open {source.name} ({source.size:,} bytes)") from error
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise InputRefused(
            f"{source.name} is not a safetensors file that the library reads ({type(error).__name__})"
        ) from error
    if tensors.keys() != header.entries.keys():
        raise InputRefused(f"{source.name} changed while it was read", hints=["try again"])
    return {name: _aligned(tensors[name]) for name in header.entries}, header


def refuse_special(source: Source, header: Header) -> None:
    """Raise InputRefused for a tensor of a type that no network here can use."""
    for name, entry in header.entries.items():
        what = SPECIAL_TYPES.get(entry.dtype)
        if what is not None:
            raise InputRefused(
                f"{source.name}: the tensor {shown(name)} is {what}, which cannot be pruned",
                hints=["prune the floating-point checkpoint, then convert the result"],
            )


def _can_be_mapped(source: Source) -> bool:
    if source.local is None or source.size < MAPPED_FROM_BYTES:
        return False
    try:
        str(source.local).encode("utf-8")
    except UnicodeEncodeError:  # the library takes no other paths
        return False
    return True


def _mapped(source: Source) -> dict[str, Tensor]:
    from safetensors import safe_open

    with safe_open(str(source.local), framework="pt", device="cpu") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping


def _copied(source: Source) -> dict[str, Tensor]:
    from safetensors.torch import load

    source.file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded: dict[str, Tensor] = load(source.file.read())
    return loaded


def _aligned(tensor: Tensor) -> Tensor:
    """`tensor`, copied when its numbers do not begin at a multiple of their size."""
    if tensor.numel() and tensor.data_ptr() % tensor.element_size():
        return tensor.clone(memory_format=torch.contiguous_format)
    return tensor
