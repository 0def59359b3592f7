"""Build the index of known architectures that identification reads.

    python benchmarks/build_architecture_index.py [--workers 2]

Every architecture is built on the meta device; of those with exactly the same tensors, it is then checked
by running them with the same weights on the same input which compute the same function (five minutes on
two cores).
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import warnings
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from prunecli.architectures import build, resolve
from prunecli.architectures import index as index_room
from prunecli.architectures.fingerprint import counted, fingerprint, shapes_of
from prunecli.architectures.index import FILE, Entry, Index, write_index
from prunecli.architectures.probing import probe_architecture
from prunecli.architectures.providers.contract import PROVIDERS, imported
from prunecli.architectures.vision_operators import import_torchvision

T = TypeVar("T")
SOURCES = ("cifar", "digits", "torchvision", "timm", "transformers")
PACKAGES = ("torch", "torchvision", "timm", "transformers")
TARGET = Path(index_room.__file__).with_name(FILE)
COMPARED_CLASSES = 10
LARGEST = 150_000_000  # parameters; two of these with their activations fit into 4 GB

PAPERS = {
    "alexnet": "Krizhevsky 2014, arXiv:1404.5997",
    "convnext": "Liu et al. 2022, arXiv:2201.03545",
    "deeplabv3": "Chen et al. 2017, arXiv:1706.05587",
    "densenet": "Huang et al. 2017, arXiv:1608.06993",
    "efficientnet": "Tan and Le 2019, arXiv:1905.11946",
    "efficientnet_v2": "Tan and Le 2021, arXiv:2104.00298",
    "fasterrcnn": "Ren et al. 2015, arXiv:1506.01497",
    "fcn": "Long et al. 2015, arXiv:1411.4038",
    "fcos": "Tian et al. 2019, arXiv:1904.01355",
    "googlenet": "Szegedy et al. 2015, arXiv:1409.4842",
    "inception_v3": "Szegedy et al. 2016, arXiv:1512.00567",
    "keypointrcnn": "He et al. 2017, arXiv:1703.06870",
    "lraspp": "Howard et al. 2019, arXiv:1905.02244",
    "maskrcnn": "He et al. 2017, arXiv:1703.06870",
    "maxvit": "Tu et al. 2022, arXiv:2204.01697",
    "mc3": "Tran et al. 2018, arXiv:1711.11248",
    "mnasnet": "Tan et al. 2019, arXiv:1807.11626",
    "mobilenet_v2": "Sandler et al. 2018, arXiv:1801.04381",
    "mobilenet_v3": "Howard et al. 2019, arXiv:1905.02244",
    "mvit_v1": "Fan et al. 2021, arXiv:2104.11227",
    "mvit_v2": "Li et al. 2022, arXiv:2112.01526",
    "r2plus1d": "Tran et al. 2018, arXiv:1711.11248",
    "r3d": "Tran et al. 2018, arXiv:1711.11248",
    "raft": "Teed and Deng 2020, arXiv:2003.12039",
    "regnet": "Radosavovic et al. 2020, arXiv:2003.13678",
    "resnet": "He et al. 2016, arXiv:1512.03385",
    "resnext": "Xie et al. 2017, arXiv:1611.05431",
    "retinanet": "Lin et al. 2017, arXiv:1708.02002",
    "s3d": "Xie et al. 2018, arXiv:1712.04851",
    "shufflenet_v2": "Ma et al. 2018, arXiv:1807.11164",
    "squeezenet": "Iandola et al. 2016, arXiv:1602.07360",
    "ssd": "Liu et al. 2016, arXiv:1512.02325",
    "ssdlite": "Sandler et al. 2018, arXiv:1801.04381",
    "swin": "Liu et al. 2021, arXiv:2103.14030",
    "swin3d": "Liu et al. 2022, arXiv:2106.13230",
    "swin_v2": "Liu et al. 2022, arXiv:2111.09883",
    "vgg": "Simonyan and Zisserman 2015, arXiv:1409.1556",
    "vit": "Dosovitskiy et al. 2021, arXiv:2010.11929",
    "wide_resnet": "Zagoruyko and Komodakis 2016, arXiv:1605.07146",
}


@dataclass(frozen=True)
class Found:
    """What was learnt of one name, or why nothing was."""

    name: str
    line: str = ""
    input_shape: tuple[int, ...] = ()
    entries: tuple[Entry, ...] = ()
    keys: tuple[str, ...] = ()
    failure: str = ""


def main() -> None:
    """Build, check and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    names = [f"{source}/{name}" for source in SOURCES for name in names_of(source)]
    with ProcessPoolExecutor(options.workers) as pool:
        found = list(with_progress("built", pool.map(look_at, names, chunksize=4), len(names)))
        good = [one for one in found if not one.failure]
        crowds = crowds_of(good)
        kinned = list(with_progress("compared", pool.map(with_kin, crowds), len(crowds)))
    entries = numbered_by_names(entry for crowd in kinned for entry in crowd)
    index = Index(
        entries=tuple(sorted(entries, key=lambda entry: (entry.name, str(entry.arguments)))),
        lines={one.name: one.line for one in good},
        input_shapes={one.name: one.input_shape for one in good},
        built_with={package: version(package) for package in PACKAGES},
    )
    size = write_index(options.output, index)
    for one in found:
        if one.failure:
            print(f"left out: {one.name}: {one.failure}")
    print(f"{options.output.name}: {len(entries)} entries, {len(index.lines)} names, {size} bytes")


def names_of(source: str) -> list[str]:
    """All names of one source, asked of the installed package."""
    if source == "torchvision":
        return list(import_torchvision().models.list_models())
    if source == "timm":
        import_torchvision()
        return list(imported("timm", extra="timm").list_models())
    return list(PROVIDERS[source].names())


def line_of(name: str) -> str:
    """The line of the catalog: what it is from."""
    source, _, short = name.partition("/")
    if source == "torchvision":
        plain = short.removeprefix("quantized_")
        papers = [start for start in PAPERS if plain.startswith(start)]
        return f"torchvision {version('torchvision').partition('+')[0]} ({PAPERS[max(papers, key=len)]})"
    if source == "timm":
        entry = importlib.import_module("timm.models").model_entrypoint(short)
        return f"timm {version('timm')}, {entry.__module__}"
    return PROVIDERS[source].names()[short]


def look_at(name: str) -> Found:
    """Build one architecture on the meta device and take its fingerprints."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    try:
        entries = tuple(probe_architecture(name))
        shape = resolve(name).input_shape
        return Found(name, line_of(name), shape, entries, tuple(key_of(entry) for entry in entries))
    except Exception as error:  # a network that cannot be built is listed, not fatal
        return Found(name, failure=f"{type(error).__name__}: {str(error).splitlines()[0]}")


def key_of(entry: Entry) -> str:
    """A hash of the shapes at the usual number of input channels, which only some builders can change."""
    network = build(resolve(entry.name, arguments=entry.arguments), device="meta")
    look = fingerprint(counted(shapes_of(network)), entry.classes)
    return look.names + look.shapes


def crowds_of(found: Iterable[Found]) -> list[list[Entry]]:
    """Entries with exactly the same tensors, together."""
    crowds: dict[str, list[Entry]] = defaultdict(list)
    for one in found:
        for entry, key in zip(one.entries, one.keys, strict=True):
            crowds[key].append(entry)
    return list(crowds.values())


def numbered_by_names(entries: Iterable[Entry]) -> list[Entry]:
    """Kin renumbered so that two functions behind the same tensor names never share a number."""
    numbers: dict[str, dict[int, int]] = defaultdict(dict)
    return [
        replace(entry, kin=functions.setdefault(entry.kin, len(functions)))
        for entry in entries
        for functions in [numbers[entry.fingerprint.names]]
    ]


def with_kin(crowd: Sequence[Entry]) -> list[Entry]:
    """The same entries, numbered by the function that they compute."""
    first = id_of(crowd[0])
    if len(crowd) == 1:
        return [replace(crowd[0], kin=first)]
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    functions: list[torch.Tensor] = []
    numbered = []
    shape = resolve(crowd[0].name).input_shape
    for entry in crowd:
        output = output_of(entry, shape)
        same = [i for i, known in enumerate(functions) if output is not None and alike(known, output)]
        if not same:
            functions.append(torch.full((1,), torch.nan) if output is None else output)
        numbered.append(replace(entry, kin=first + (same[0] if same else len(functions) - 1)))
    return numbered


def id_of(entry: Entry) -> int:
    """A number that no other crowd starts with, with room for the functions of this one."""
    return zlib.crc32(f"{entry.name}{entry.arguments}".encode()) * 1000


def output_of(entry: Entry, shape: tuple[int, ...]) -> torch.Tensor | None:
    """The output for fixed weights and a fixed input, or None for what is too large or does not run."""
    if entry.fingerprint.parameters > LARGEST:
        return None
    try:
        word = PROVIDERS[entry.name.partition("/")[0]].class_argument
        classes = {word: COMPARED_CLASSES} if entry.classes and word else {}
        network = build(resolve(entry.name, arguments={**entry.arguments, **classes}))
        fill(network)
        with torch.no_grad():
            if len(shape) == 1:
                output = network(torch.arange(shape[0])[None])
            else:
                output = network(torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)))
    except Exception as error:
        print(f"not compared: {entry.name}: {type(error).__name__}", file=sys.stderr)
        return None
    while not isinstance(output, torch.Tensor):
        output = next(iter(output.values() if hasattr(output, "values") else output))
    return output


def fill(network: nn.Module) -> None:
    """Weights that depend on their names only and keep signals alive through deep networks."""
    for name, tensor in sorted(network.state_dict().items()):
        if not tensor.is_floating_point():
            continue
        generator = torch.Generator().manual_seed(sum(map(ord, name)))
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.dim() > 1:
            fan = tensor[0].numel() or 1
            tensor.normal_(0, (2 / fan) ** 0.5, generator=generator)
        else:
            tensor.normal_(0.5, 0.3, generator=generator)


def alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Equal up to the rounding of another order of operations, and not by being constant."""
    if first.shape != second.shape or not torch.isfinite(first).all():
        return False
    scale = float(first.abs().max())
    telling = first.numel() > 1 and float(first.std()) > 1e-4 * scale
    return telling and float((first - second).abs().max()) <= 2e-5 * scale


def with_progress(word: str, results: Iterable[T], total: int) -> Iterable[T]:
    """Pass `results` on and count them on standard error."""
    start = time.perf_counter()
    for done, result in enumerate(results, start=1):
        if done % 50 == 0 or done == total:
            print(f"{word} {done}/{total} after {time.perf_counter() - start:.0f} s", file=sys.stderr)
        yield result


if __name__ == "__main__":
    main()
