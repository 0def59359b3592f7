from __future__ import annotations

import copy
import math
import pickle

import networks
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecli.errors import InputRefused, WrongUse
from prunecli.training.distillation import Teacher, similarity_loss, soft_loss
from prunecli.training.states import snapshot

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def hooks_of(model: nn.Module) -> int:
    return sum(len(each._forward_hooks) for each in model.modules())


def make(
    teacher: nn.Module,
    student: nn.Module,
    weight: float = 0.5,
    similarity: float = 0.0,
    *,
    temperature: float = 2.0,
    label_weight: float | None = None,
) -> Teacher:
    return Teacher(
        teacher,
        student,
        weight=weight,
        temperature=temperature,
        similarity=similarity,
        label_weight=label_weight,
        sample_images=IMAGES[:2].to(next(student.parameters()).dtype),
    )


def test_equal_logits_have_no_soft_loss() -> None:
    logits = torch.randn(7, 5)
    assert soft_loss(logits, logits, temperature=3.0).item() == pytest.approx(0.0, abs=1e-6)
    shifted = soft_loss(logits + 2.5, logits, temperature=3.0)  # a softmax knows no offset
    assert shifted.item() == pytest.approx(0.0, abs=1e-6)


def test_the_soft_loss_by_hand() -> None:
    """p = (1/2, 1/2) and q = (3/4, 1/4): Σ p ln(p / q) = ½ ln(4/3)."""
    student = torch.tensor([[math.log(3.0), 0.0]])
    even = torch.zeros(1, 2)
    wanted = 0.5 * math.log(4 / 3)
    assert soft_loss(student, even, temperature=1.0).item() == pytest.approx(wanted)
    # The other way round is another number: q is the student's.
    swapped = 0.75 * math.log(3 / 2) + 0.25 * math.log(1 / 2)
    assert soft_loss(even, student, temperature=1.0).item() == pytest.approx(swapped)
    # T times the logits at temperature T are the same probabilities, so that the factor T² is left.
    assert soft_loss(4 * student, even, temperature=4.0).item() == pytest.approx(16 * wanted)
    # A mean over images, not a sum.
    both = soft_loss(torch.cat([student, even]), torch.zeros(2, 2), temperature=1.0)
    assert both.item() == pytest.approx(wanted / 2)


def test_the_gradient_of_the_soft_loss_keeps_its_size_when_the_temperature_rises() -> None:
    """For large T it goes to (q − p as logits) / classes: (z_i − v_i) / N."""
    logits = torch.tensor([[1.0, -1.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    soft_loss(logits, torch.zeros(1, 4, dtype=torch.float64), temperature=1000.0).backward()
    assert logits.grad is not None
    assert logits.grad[0].tolist() == pytest.approx([0.25, -0.25, 0, 0], abs=1e-3)


def test_equal_maps_have_no_similarity_loss_whatever_their_scale_and_shape() -> None:
    features = torch.randn(4, 6, 3, 3)
    assert similarity_loss(features, features).item() == pytest.approx(0.0, abs=1e-10)
    assert similarity_loss(features, 5 * features).item() == pytest.approx(0.0, abs=1e-10)
    twice = torch.cat([features, features], dim=1)
    assert similarity_loss(twice, features).item() == pytest.approx(0.0, abs=1e-10)


def test_the_similarity_loss_by_hand() -> None:
    """Orthogonal images have G = I; two of one direction have G = ½√2 everywhere."""
    teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(2, 2, 1, 1)
    student = torch.tensor([[3.0, 0.0, 0.0, 4.0], [3.0, 0.0, 0.0, 4.0]]).reshape(2, 1, 2, 2)
    half = math.sqrt(0.5)
    wanted = (2 * (1 - half) ** 2 + 2 * half**2) / 4
    assert similarity_loss(student, teacher).item() == pytest.approx(wanted)


def test_an_empty_map_is_like_no_other_and_gives_no_nan() -> None:
    student = torch.zeros(2, 1, 2, 2, requires_grad=True)
    loss = similarity_loss(student, torch.eye(2).reshape(2, 2, 1, 1))
    assert loss.item() == pytest.approx(2 / 4)
    loss.backward()
    assert student.grad is not None
    assert torch.isfinite(student.grad).all()


def test_half_of_the_bits_are_widened_before_the_sums() -> None:
    features = torch.full((2, 4, 8, 8), 100.0, dtype=torch.float16)  # the squares add up to 2.56 million
    assert similarity_loss(features, features).item() == 0.0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = torch.randn(4, 6, 3, 3), torch.randn(4, 2, 5, 5)
        inside = similarity_loss(*maps)
        soft = soft_loss(torch.randn(2, 3).bfloat16(), torch.randn(2, 3), temperature=2.0)
    assert inside.dtype == soft.dtype == torch.float32
    assert torch.equal(inside, similarity_loss(*maps))


def test_the_loss_is_the_weighted_sum() -> None:
    teacher, student = networks.randomised(networks.Plain(), 1), networks.randomised(networks.Residual(), 2)
    logits, hard = student(IMAGES), torch.tensor(3.0)
    soft = soft_loss(logits, teacher(IMAGES), temperature=2.0)
    for weight in (0.0, 0.25, 1.0):
        found = make(teacher, student, weight=weight).loss(IMAGES, logits, hard)
        assert found.item() == pytest.approx((1 - weight) * 3.0 + weight * soft.item())


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_labels_and_teacher_can_be_summed_as_ice_does(temperature: float) -> None:
    """CE + KL(softmax(z′ / T) ‖ softmax(z / T)), summed over classes, divided by the images, without T²."""
    teacher, student = networks.Plain(), networks.Plain()
    labels = torch.arange(6) % 2
    logits, taught = student(IMAGES), teacher.eval()(IMAGES)
    p = (taught / temperature).softmax(1)
    q = (logits / temperature).softmax(1)
    hard = functional.cross_entropy(logits, labels)
    wanted = hard + (p * (p / q).log()).sum() / len(IMAGES)
    made = make(teacher, student, 1 / temperature**2, label_weight=1.0, temperature=temperature)
    assert made.loss(IMAGES, logits, hard).item() == pytest.approx(wanted.item(), rel=1e-5)
    only = make(teacher, student, 0.5, label_weight=0.0, temperature=temperature)
    alone = 0.5 * soft_loss(logits, taught, temperature=temperature).item()
    assert only.loss(IMAGES, logits, hard).item() == pytest.approx(alone)


def test_similarity_compares_the_last_maps_of_networks_of_other_widths() -> None:
    teacher, student = networks.randomised(networks.Plain(), 1), networks.randomised(networks.Residual(), 2)
    both = make(teacher, student, weight=0.25, similarity=10.0)
    with both.watching():
        logits = student(IMAGES)
    found = both.loss(IMAGES, logits, torch.tensor(3.0))
    # Maps of 6 and of 8 channels.
    theirs = teacher.conv2(functional.relu(teacher.bn1(teacher.conv1(IMAGES))))
    ours = student.outer(functional.relu(student.inner(functional.relu(student.stem(IMAGES)))))
    plain = make(teacher, student, weight=0.25).loss(IMAGES, logits, torch.tensor(3.0))
    assert found.item() == pytest.approx(plain.item() + 10 * similarity_loss(ours, theirs).item())
    found.backward()
    assert student.stem.weight.grad is not None


def test_maps_of_one_position_are_left_out() -> None:
    """The last one of a SqueezeExcite is the gate's, (B, 8, 1, 1), and the stem's is the one of images."""
    teacher, student = networks.randomised(networks.SqueezeExcite(), 1), networks.randomised(networks.Plain())
    both = make(teacher, student, weight=0.0, similarity=1.0)
    with both.watching():
        logits = student(IMAGES)
    found = both.loss(IMAGES, logits, torch.tensor(0.0))
    ours = student.conv2(functional.relu(student.bn1(student.conv1(IMAGES))))
    assert found.item() == pytest.approx(similarity_loss(ours, teacher.stem(IMAGES)).item())


def test_a_shared_layer_counts_by_its_last_call() -> None:
    teacher, student = networks.randomised(networks.Plain(), 1), networks.randomised(networks.SharedLayer())
    both = make(teacher, student, weight=0.0, similarity=1.0)
    with both.watching():
        logits = student(IMAGES)
    found = both.loss(IMAGES, logits, torch.tensor(0.0))
    x = student.stem(IMAGES)
    for _ in range(3):
        last = student.cell(x)
        x = torch.tanh(last)
    theirs = teacher.conv2(functional.relu(teacher.bn1(teacher.conv1(IMAGES))))
    assert found.item() == pytest.approx(similarity_loss(last, theirs).item())


def test_a_student_that_is_its_teachers_copy_has_nothing_to_learn() -> None:
    student = networks.randomised(networks.Plain())
    both = make(copy.deepcopy(student), student, weight=1.0, similarity=3000.0)
    with both.watching():
        logits = student(IMAGES)
    assert both.loss(IMAGES, logits, torch.tensor(5.0)).item() == pytest.approx(0.0, abs=1e-4)


def test_the_teacher_is_in_evaluation_mode_without_gradients_and_never_changed() -> None:
    teacher = networks.randomised(networks.Plain(), 1).train()
    student = networks.randomised(networks.Plain(), 2).train()
    before = snapshot(teacher)
    both = make(teacher, student, similarity=1.0)
    with both.watching():
        logits = student(IMAGES)
    both.loss(IMAGES, logits, torch.tensor(1.0)).backward()
    assert not any(each.training for each in teacher.modules())
    assert all(each.grad is None for each in teacher.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in snapshot(teacher).items())


def test_making_a_teacher_does_not_change_the_student() -> None:
    student = networks.randomised(networks.Plain(), 2).train()
    student.head.eval()
    before = snapshot(student)
    make(networks.randomised(networks.Plain(), 1), student, similarity=1.0)
    assert student.training
    assert student.bn1.training
    assert not student.head.training
    assert all(torch.equal(before[name], tensor) for name, tensor in snapshot(student).items())


def test_no_hook_is_left_on_either_network() -> None:
    teacher, student = networks.randomised(networks.Plain(), 1), networks.randomised(networks.Residual(), 2)
    both = make(teacher, student, similarity=1.0)
    assert hooks_of(teacher) == hooks_of(student) == 0
    with both.watching():
        assert hooks_of(student) == 1
        logits = student(IMAGES)
    assert hooks_of(student) == 0
    both.loss(IMAGES, logits, torch.tensor(1.0))
    assert hooks_of(teacher) == 0
    with pytest.raises(ValueError, match="on purpose"), both.watching():
        raise ValueError("on purpose")
    assert hooks_of(student) == 0
    assert torch.equal(pickle.loads(pickle.dumps(student))(IMAGES), student(IMAGES))


def test_without_similarity_nothing_is_watched() -> None:
    student = networks.randomised(networks.Plain())
    both = make(networks.randomised(networks.Plain(), 1), student)
    with both.watching():
        assert hooks_of(student) == 0


def test_a_map_is_used_once_and_must_have_been_watched() -> None:
    student = networks.randomised(networks.Plain())
    both = make(networks.randomised(networks.Plain(), 1), student, similarity=1.0)
    with both.watching():
        logits = student(IMAGES)
    both.loss(IMAGES, logits, torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="watching"):
        both.loss(IMAGES, logits, torch.tensor(1.0))


def test_a_wrapper_around_the_student_is_watched_too() -> None:
    class Wrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: Tensor) -> Tensor:
            return self.module(x)

    student = networks.randomised(networks.Plain())
    both = make(networks.randomised(networks.Plain(), 1), student, similarity=1.0)
    with both.watching():
        logits = Wrapper(student)(IMAGES)
    assert torch.isfinite(both.loss(IMAGES, logits, torch.tensor(1.0)))


def test_a_teacher_with_named_outputs_and_other_numbers_than_the_student() -> None:
    class Named(networks.TwoOutputs):
        """Its logits under a key, its weights in float64."""

    teacher = networks.randomised(Named(), 1).double()
    student = networks.randomised(networks.Plain())
    both = make(teacher, student, weight=1.0, similarity=0.0, temperature=1.0)
    logits = student(IMAGES)
    wanted = soft_loss(logits, teacher(IMAGES.double())["logits"], temperature=1.0)
    assert both.loss(IMAGES, logits, torch.tensor(0.0)).item() == pytest.approx(wanted.item())


def test_mixed_labels_are_the_hard_losss_own_affair() -> None:
    teacher, student = networks.randomised(networks.Plain(), 1), networks.randomised(networks.Plain(), 2)
    mixed = torch.full((6, 5), 0.2)
    logits = student(IMAGES)
    hard = functional.cross_entropy(logits, mixed)
    found = make(teacher, student, weight=0.5).loss(IMAGES, logits, hard)
    assert found.item() == pytest.approx(
        0.5 * hard.item() + 0.5 * soft_loss(logits, teacher(IMAGES), temperature=2.0).item()
    )


def test_a_step_in_bfloat16() -> None:
    teacher, student = networks.randomised(networks.Plain(), 1), networks.randomised(networks.Residual(), 2)
    both = make(teacher, student, similarity=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16), both.watching():
        logits = student(IMAGES)
        found = both.loss(IMAGES, logits, torch.tensor(1.0))
    assert found.dtype == torch.float32
    found.backward()
    assert student.stem.weight.grad is not None
    assert torch.isfinite(student.stem.weight.grad).all()


def test_another_number_of_classes_is_refused() -> None:
    teacher = networks.Plain()
    teacher.head.linear = nn.Linear(6, 7)
    with pytest.raises(InputRefused, match="the teacher has 7 outputs and the model 5"):
        make(teacher, networks.Plain())


def test_a_teacher_of_other_images_is_refused() -> None:
    with pytest.raises(InputRefused, match="the teacher does not take images of 3x8x8"):
        make(networks.OneChannelInput(), networks.Plain())


def test_a_network_without_a_feature_map_cannot_be_compared() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    make(flat, networks.Plain())
    with pytest.raises(InputRefused, match="the teacher has no feature map of images of 3x8x8"):
        make(flat, networks.Plain(), similarity=1.0)
    with pytest.raises(InputRefused, match="the model has no feature map"):
        make(networks.Plain(), flat, similarity=1.0)


def test_a_network_is_not_its_own_teacher() -> None:
    model = networks.Plain()
    with pytest.raises(WrongUse, match="its own teacher"):
        make(model, model)
