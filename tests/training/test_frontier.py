from __future__ import annotations

from collections.abc import Callable

import networks
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecli.training.forward import logits_of
from prunecli.training.freezing import freeze, frozen_modes
from prunecli.training.frontier import Frontier, find_frontier
from prunecli.training.states import snapshot

IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
PLENTY = 1 << 20


def block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after))


class Stages(nn.Module):
    """Three stages and functions between them, one of which overwrites its input."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = block(3, 4), block(4, 4), block(4, 4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.one(x), inplace=True)
        x = self.two(x).relu_()
        logits: Tensor = self.head(self.drop(self.three(x).relu().mean((2, 3))))
        return logits


class Residual(Stages):
    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x).relu()
        x = x + self.three(self.two(x).relu())
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class ToTheEnd(Stages):
    """The images themselves are read again by the last layer."""

    def forward(self, x: Tensor) -> Tensor:
        far = self.three(self.two(self.one(x).relu()).relu())
        logits: Tensor = self.head((far + functional.pad(x, (0, 0, 0, 0, 0, 1))).mean((2, 3)))
        return logits


class PutBy(Stages):
    """A stage hands on a second result without saying so, and autograd does not see it."""

    class Stage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = block(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            self.by = x.detach().mean((2, 3))
            result: Tensor = self.inner(x)
            return result

    def __init__(self) -> None:
        super().__init__()
        self.two = self.Stage()

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.one(x).relu()).relu()
        logits: Tensor = self.head(self.three(x).mean((2, 3)) + self.two.by)
        return logits


class DropsEarly(Stages):
    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.drop(self.one(x).relu()))
        logits: Tensor = self.head(self.three(x).mean((2, 3)))
        return logits


class Noisy(Stages):
    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.one(x) + torch.randn(4, 1, 1))
        logits: Tensor = self.head(self.three(x).mean((2, 3)))
        return logits


class LooksAtOthers(Stages):
    """Two puts out what depends on the other images of the batch, without any buffer."""

    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = block(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.inner(x)
            return x - x.mean(0, keepdim=True)

    def __init__(self) -> None:
        super().__init__()
        self.two = self.Centred()


class Counts(Stages):
    """Two keeps a mean that moves so slowly that one batch is hardly seen in it."""

    class Follows(nn.Module):
        mean: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.inner = block(4, 4)
            self.register_buffer("mean", torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            self.mean.lerp_(x.detach().mean((0, 2, 3)), 1e-4)
            result: Tensor = self.inner(x)
            return result

    def __init__(self) -> None:
        super().__init__()
        self.two = self.Follows()


class LearnsAPosition(Stages):
    """A bare parameter of the network itself, which no name of a module freezes."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.one(x).relu() * self.position)
        logits: Tensor = self.head(self.three(x).mean((2, 3)))
        return logits


class OneActivation(Stages):
    """One module for all activations, which runs before and behind the frontier."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.two(self.activation(self.one(x))))
        logits: Tensor = self.head(self.activation(self.three(x)).mean((2, 3)))
        return logits


class Named(Stages):
    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"other": x, "logits": super().forward(x)}


def found(
    model: nn.Module, *globs: str, largest: int = PLENTY, watched: nn.Module | None = None
) -> tuple[Frontier | None, Callable[[Tensor], Tensor]]:
    frozen = freeze(model, globs)
    model.train()
    frozen_modes(model, frozen)

    def forward(images: Tensor) -> Tensor:
        return logits_of(model(images))

    return find_frontier(model, IMAGES, forward=forward, largest=largest, watched=watched), forward


def place(model: nn.Module, frontier: Frontier | None) -> str | None:
    """The shortest name of the frontier's module."""
    if frontier is None:
        return None
    return min((name for name, each in model.named_modules() if each is frontier.module), key=len)


@pytest.mark.parametrize(
    ("kind", "globs", "name"),
    [
        (Stages, ["one"], "one"),
        (Stages, ["one", "two"], "two"),
        (Stages, ["one", "two.0"], "two.0"),
        (Stages, ["one", "three"], "one"),
        (Stages, ["two", "three"], None),
        (Stages, ["one.0"], "one.0"),
        (Stages, ["one", "two", "three"], "three"),  # what follows the dropout is drawn anew each time
        (Stages, [], None),
        (Named, ["one", "two"], "two"),
        (Residual, ["one", "two"], "one"),
        (Residual, ["one", "two", "three"], "one"),  # the sum is a function: no module puts it out
        (ToTheEnd, ["one", "two"], None),
        (PutBy, ["one", "two"], "one"),
        (DropsEarly, ["one", "two"], "one"),
        (Noisy, ["one", "two"], "one"),
        (LooksAtOthers, ["one", "two"], "two.inner"),
        (Counts, ["one", "two"], "one"),
        (LearnsAPosition, ["one", "two"], "one"),
        (OneActivation, ["one", "two"], "two"),
    ],
)
def test_where_a_network_can_be_taken_up(kind: type[Stages], globs: list[str], name: str | None) -> None:
    torch.manual_seed(1)
    model = kind()
    assert place(model, found(model, *globs)[0]) == name


def test_a_norm_whose_weights_alone_are_frozen_moves_and_is_computed_each_time() -> None:
    model = Stages()
    model.one.requires_grad_(False)
    assert place(model, found(model)[0]) == "one.0"
    model.one[1].eval()
    frontier = find_frontier(model, IMAGES, forward=model, largest=PLENTY)
    assert place(model, frontier) == "one"


def test_the_network_goes_on_from_what_is_served() -> None:
    torch.manual_seed(1)
    model = Stages()
    frontier, forward = found(model, "one", "two")
    assert frontier is not None
    torch.manual_seed(2)
    whole = forward(IMAGES)
    output = frontier.outputs(forward, IMAGES)
    assert output.shape == (5, 4, 8, 8)
    assert not output.requires_grad
    ran: list[nn.Module] = []
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, *_: ran.append(module))
    with frontier.serving(output.clone()):
        torch.manual_seed(2)
        again = forward(IMAGES)
    assert torch.equal(again, whole)
    assert set(ran) == {*model.three, model.drop, model.head}
    again.sum().backward()  # type: ignore[no-untyped-call]
    assert model.three[0].weight.grad is not None
    with frontier.serving(-output):
        assert not torch.allclose(forward(IMAGES), whole)


def test_what_is_served_gets_the_gradients_of_the_whole() -> None:
    torch.manual_seed(1)
    model = Stages()
    frontier, forward = found(model, "one", "two")
    assert frontier is not None

    def gradients() -> list[Tensor]:
        model.zero_grad()
        torch.manual_seed(2)
        forward(IMAGES).square().sum().backward()  # type: ignore[no-untyped-call]
        return [each.grad for each in model.parameters() if each.grad is not None]

    whole = gradients()
    with frontier.serving(frontier.outputs(forward, IMAGES)):
        served = gradients()
    assert len(whole) == len(served) == 5
    assert all(torch.equal(*pair) for pair in zip(whole, served, strict=True))


def test_nothing_is_left_behind() -> None:
    model = Stages()
    model.one.forward = own = model.one.forward  # type: ignore[method-assign]
    before, state = snapshot(model), torch.get_rng_state()
    frontier, forward = found(model, "one", "two")
    assert frontier is not None

    def untouched() -> bool:
        others = [each for each in model.modules() if each is not model.one]
        hooked = any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
        return (
            vars(model.one)["forward"] is own
            and not any("forward" in vars(each) for each in others)
            and not hooked
        )

    assert untouched()
    with pytest.raises(KeyboardInterrupt), frontier.serving(IMAGES):
        assert not untouched()
        raise KeyboardInterrupt
    assert untouched()
    with pytest.raises(RuntimeError):
        frontier.outputs(forward, IMAGES[:, :2])
    assert untouched()
    after = snapshot(model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(each.grad is None for each in model.parameters())


def test_a_frontier_that_is_too_large_is_passed_over() -> None:
    model = nn.Sequential(block(3, 4), nn.MaxPool2d(2), block(4, 8), nn.Flatten(), nn.Linear(128, 2))
    assert place(model, found(model, "0")[0]) == "1"
    wide, narrow = 8 * 4 * 4 * 4, 4 * 4 * 4 * 4  # bytes an image
    assert place(model, found(model, "0", "2", largest=wide)[0]) == "3"
    assert place(model, found(model, "0", "2", largest=wide - 1)[0]) == "1"
    assert place(model, found(model, "0", "2", largest=narrow - 1)[0]) is None


def test_without_anything_of_weight_before_it_there_is_no_frontier() -> None:
    model = nn.Sequential(
        nn.MaxPool2d(2), block(3, 4), block(4, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    assert place(model, found(model, "2")[0]) is None
    assert place(model, found(model, "1", "2")[0]) == "4"


def test_what_is_watched_is_still_made() -> None:
    model = Stages()
    assert place(model, found(model, "one", "two", watched=model.three)[0]) == "two"
    assert place(model, found(model, "one", "two", watched=model.two)[0]) == "two"
    assert place(model, found(model, "one", "two", watched=model.two[0])[0]) == "two.0"
    assert place(model, found(model, "one", "two", watched=model.one)[0]) == "one"


def test_a_network_that_fails_is_run_whole() -> None:
    def fails(images: Tensor) -> Tensor:
        raise ZeroDivisionError

    model = networks.Plain()
    freeze(model, ["conv1"])
    assert find_frontier(model, IMAGES, forward=fails, largest=PLENTY) is None
    assert find_frontier(model, IMAGES[:1], forward=model, largest=PLENTY) is None


def test_a_network_that_goes_another_way_later_says_so() -> None:
    model = Stages()
    frontier, _ = found(model, "one")
    assert frontier is not None
    with pytest.raises(RuntimeError, match="another way"):
        frontier.outputs(lambda images: images, IMAGES)
