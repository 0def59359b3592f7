"""The network as it is trained: by itself, as one of several equal copies, or spread over the processes.

Copies (DistributedDataParallel) and GPU shards (FSDP) are made by accelerate; on the CPU, where accelerate
offers no shards, torch's own `fully_shard` makes them.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from prunecli.errors import WrongUse
from prunecli.processes import Launched, Processes, sharding_wanted
from prunecli.training.forward import logits_of
from prunecli.training.states import modes_kept, named_tensors, restore, snapshot

MakeOptimiser = Callable[[nn.Module], torch.optim.Optimizer]


class Replica:
    """A network with its optimiser, trained by this process alone.

    `module` is called in training, `network` is whose parameters change and what is judged. `sharded` says
    that every forward pass needs all processes.
    """

    sharded = False

    def __init__(self, model: nn.Module, make_optimiser: MakeOptimiser) -> None:
        self.module = self.network = model
        self.optimiser = make_optimiser(model)

    def alone(self) -> AbstractContextManager[None]:
        """Inside, a backward pass only adds to this process's gradients: another one follows in the step."""
        return nullcontext()

    def whole(self, tensor: Tensor) -> Tensor:
        """A parameter or what the optimiser keeps about one, complete; all processes call it together."""
        return tensor

    def put(self, target: Tensor, value: Tensor) -> None:
        """Write the complete `value` into a parameter or into what the optimiser keeps about one."""
        target.copy_(value)

    def settle(self) -> None:
        """After a forward pass without a backward one: every weight is where it was before."""

    def finish(self, model: nn.Module) -> None:
        """Leave the trained weights in `model`, the network that was given."""


class Copy(Replica):
    """One of several equal copies, whose gradients are averaged in the backward pass."""

    def __init__(
        self, model: nn.Module, make_optimiser: MakeOptimiser, processes: Launched, sample: Tensor
    ) -> None:
        super().__init__(model, make_optimiser)
        self.accelerator = processes.accelerator(cpu=sample.device.type == "cpu")
        # Looking for parameters without gradient at every step costs time, so it is done once.
        self.accelerator.ddp_handler.find_unused_parameters = _has_unused_parameters(model, sample)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # accelerate gives torch an option by its old name
            self.module = self.accelerator.prepare_model(model)

    def alone(self) -> AbstractContextManager[None]:
        """Inside, gradients are not averaged."""
        context: AbstractContextManager[None] = self.accelerator.no_sync(self.module)
        return context


class Shards(Replica):
    """Every weight spread over the processes; the network that was given gets them whole at the end.

    Gradients are always reduced, also where another backward pass follows in the step: keeping whole ones is
    what shards are there to avoid.
    """

    sharded = True

    def __init__(
        self, model: nn.Module, make_optimiser: MakeOptimiser, processes: Launched, sample: Tensor
    ) -> None:
        network = copy.deepcopy(model)
        accelerator = processes.accelerator(cpu=sample.device.type == "cpu")
        if sample.device.type == "cpu":
            from torch.distributed.device_mesh import init_device_mesh
            from torch.distributed.fsdp import fully_shard

            mesh = init_device_mesh("cpu", (processes.count,))
            fully_shard(network, mesh=mesh, reshard_after_forward=True)
            super().__init__(network, make_optimiser)
            return
        plugin = accelerator.state.fsdp_plugin
        if plugin is None or plugin.fsdp_version != 2:
            raise WrongUse(
                "weights are spread by FSDP version 2",
                hints=["for example: accelerate launch --use_fsdp --fsdp_version 2 -m prunecli finetune …"],
            )
        network, prepared = accelerator.prepare(network, make_optimiser(network))
        self.module = self.network = network
        self.optimiser = prepared.optimizer

    def settle(self) -> None:
        """Spread again what the forward pass has gathered."""
        from torch.distributed.fsdp import FSDPModule

        for module in self.network.modules():
            if isinstance(module, FSDPModule):
                module.reshard()

    def whole(self, tensor: Tensor) -> Tensor:
        """The tensor gathered from all processes, if it is spread."""
        from torch.distributed.tensor import DTensor

        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def put(self, target: Tensor, value: Tensor) -> None:
        """Write this process's part of `value`."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        if isinstance(target, DTensor):
            value = distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
        target.copy_(value)

    @torch.no_grad()
    def finish(self, model: nn.Module) -> None:
        """Gather every weight into the network that was given."""
        trained = dict(named_tensors(self.network))
        for name, target in named_tensors(model):
            target.copy_(self.whole(trained[name]))


def replicate(
    model: nn.Module, make_optimiser: MakeOptimiser, processes: Processes, *, sample: Tensor
) -> Replica:
    """The network as the launcher wants it to be trained; `sample` are a few images on its device."""
    if not isinstance(processes, Launched):
        return Replica(model, make_optimiser)
    made: Callable[..., Replica] = Shards if sharding_wanted() else Copy
    return made(model, make_optimiser, processes, sample)


def _has_unused_parameters(model: nn.Module, sample: Tensor) -> bool:
    """Whether a backward pass in training mode leaves parameters out, as those of auxiliary heads are."""
    before = snapshot(model)
    with modes_kept(model):
        logits_of(model.train()(sample)).sum().backward()  # type: ignore[no-untyped-call]
    unused = any(each.requires_grad and each.grad is None for each in model.parameters())
    model.zero_grad(set_to_none=True)
    restore(model, before)
    return unused


@torch.no_grad()
def average_batch_norms(model: nn.Module, processes: Processes, *, weight: float = 1.0) -> None:
    """Give every process the mean of the running statistics that each has measured on its own images.

    `weight` is how much this process's count, the number of its batches, say.
    """
    if processes.count == 1:
        return
    layers = [each for each in model.modules() if isinstance(each, _BatchNorm)]
    running = [
        each for layer in layers for each in (layer.running_mean, layer.running_var) if each is not None
    ]
    if not running:
        return
    share = processes.total(torch.tensor(weight, dtype=torch.float64))
    flat = torch.cat([each.double().flatten() for each in running]) * (weight / share.to(running[0].device))
    parts = torch.split(processes.total(flat), [each.numel() for each in running])
    for each, part in zip(running, parts, strict=True):
        each.copy_(part.reshape(each.shape))


@torch.no_grad()
def buffers_of_all(model: nn.Module, processes: Processes) -> dict[str, Tensor]:
    """The floating buffers of every process but the first, as `INDEX/NAME`; all processes call it together.

    Each process has measured the running statistics of its own images.
    """
    found: dict[str, Tensor] = {}
    for name, buffer in model.named_buffers():
        if processes.count == 1 or not buffer.is_floating_point():
            continue
        rows = torch.zeros(processes.count, buffer.numel(), dtype=torch.float64, device=buffer.device)
        rows[processes.index] = buffer.flatten()
        rows = processes.total(rows)
        for index in range(1, processes.count):
            found[f"{index}/{name}"] = rows[index].reshape(buffer.shape).to(buffer.dtype)
    return found


def optimiser_tensors(replica: Replica) -> dict[str, Tensor]:
    """What the optimiser keeps about each parameter, complete, as `NAME/KEY`; numbers as scalar tensors."""
    names = {id(parameter): name for name, parameter in replica.network.named_parameters()}
    return {
        f"{names[id(parameter)]}/{key}": replica.whole(torch.as_tensor(value)).detach()
        for parameter, kept in replica.optimiser.state.items()
        for key, value in kept.items()
        if value is not None
    }


@torch.no_grad()
def restore_optimiser(replica: Replica, tensors: Mapping[str, Tensor]) -> None:
    """Put `optimiser_tensors` back into an optimiser that has not yet stepped."""
    parameters = dict(replica.network.named_parameters())
    for path, value in tensors.items():
        name, key = path.rsplit("/", maxsplit=1)
        kept: dict[str, Any] = replica.optimiser.state[parameters[name]]
        if value.shape == parameters[name].shape and value.dim():
            kept[key] = torch.zeros_like(parameters[name])
            replica.put(kept[key], value)
        else:
            kept[key] = value.clone()
