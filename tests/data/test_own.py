from __future__ import annotations

from pathlib import Path

import pytest

from prunecli.data import open_data
from prunecli.errors import InputRefused, WrongUse
from prunecli.user_code import names_code

CODE = """
import torch
from PIL import Image

class Set:
    classes = ("dark", "light")
    def __init__(self, count, blue):
        self.count, self.blue = count, blue
    def __len__(self):
        return self.count
    def __getitem__(self, index):
        return Image.new("RGB", (4, 3), (index % 2 * 200, index, self.blue)), index % 2

class Tensors(Set):
    def __getitem__(self, index):
        return torch.full((3, 3, 4), index, dtype=torch.uint8), index % 2

def two():
    return Set(10, 0), Set(4, 1)

def three():
    return [Set(10, 0), Set(6, 2), Set(4, 1)]

def tensors(root="unused"):
    return Tensors(10, 0), Tensors(4, 1)

def parts(request):
    from prunecli.data import DataParts, Split
    shape = request.image_shape or (1, 2, 2)
    split = Split(torch.zeros(4, *shape, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), 2)
    return DataParts(train=split, test=split, classes=("a", "b"), mean=(0.5,), std=(0.5,), notes=("made",))

def stubborn(request):
    from dataclasses import replace
    return parts(replace(request, image_shape=(1, 2, 2)))

def one():
    return Set(10, 0)

def four():
    return [Set(4, 0)] * 4

def words():
    return "ab"

def broken():
    raise KeyError("where")

def greedy(a, b):
    return two()

def unlike():
    other = Set(4, 1)
    other.classes = ("dark", "lighter")
    return Set(10, 0), other
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path / "mine.py"


def test_two_sets_are_the_training_and_the_test_part(code: Path) -> None:
    data = open_data(f"{code}:two", validation_share=0.2)
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 2, 4)
    assert data.classes == ("dark", "light")
    assert data.name == f"{code}:two"
    for part, blue in ((data.train, 0), (data.validation, 0), (data.test, 1)):
        assert (part.images[:, 0, 0, 0] // 200).tolist() == part.labels.tolist()
        assert part.images[:, 2].unique().tolist() == [blue]
    assert len(data.mean) == 3


def test_three_sets_have_the_validation_part_in_the_middle(code: Path) -> None:
    data = open_data(f"own:{code}:three")
    blues = [part.images[:, 2].unique().tolist() for part in (data.train, data.validation, data.test)]
    assert blues == [[0], [2], [1]]


def test_tensors_are_turned_into_the_models_shape(code: Path) -> None:
    data = open_data(f"{code}:tensors", image_shape=(1, 3, 4))
    assert data.test.images[:, 0, 1, 1].tolist() == [0, 1, 2, 3]


def test_a_module_of_the_working_folder(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code.rename(code.with_name("module_of_own_data.py"))
    monkeypatch.chdir(code.parent)
    assert len(open_data("module_of_own_data:two").test) == 4


def test_a_function_may_give_parts_in_the_shape_that_is_asked_for(code: Path) -> None:
    data = open_data(f"{code}:parts", image_shape=(1, 5, 6))
    assert data.train.image_shape == (1, 5, 6)
    assert data.notes == ("made",)
    assert open_data(f"{code}:stubborn", image_shape=(1, 2, 2)).test.image_shape == (1, 2, 2)
    with pytest.raises(InputRefused, match=r"train part of .* has images of 1x2x2, 1x5x6 are wanted"):
        open_data(f"{code}:stubborn", image_shape=(1, 5, 6))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("one", "one gave Set"),
        ("four", "four gave list of 4"),
        ("words", "words gave str"),
        ("broken", "broken failed: KeyError: 'where'"),
        ("greedy", "greedy failed: TypeError"),
        ("unlike", "test part of .*unlike has other classes than its train part"),
    ],
)
def test_what_gives_something_else_is_refused(code: Path, function: str, words: str) -> None:
    with pytest.raises(InputRefused, match=words) as caught:
        open_data(f"{code}:{function}")
    assert caught.value.hints


def test_code_runs_only_where_it_is_named(code: Path) -> None:
    mark = code.parent / "ran"
    code.write_text(f"open({str(mark)!r}, 'w').close()\n")
    for spec in (str(code.parent), str(code), f"folder:{code}", f"own:{code}", f"{code}:not an identifier"):
        assert not names_code(spec)
        with pytest.raises((InputRefused, WrongUse)):
            open_data(spec)
    assert not mark.exists()
    with pytest.raises(InputRefused, match="no function"):
        open_data(f"{code}:make")
    assert mark.exists()


@pytest.mark.parametrize("spec", ["own", "own:", "own:data.py", "own:data.py:"])
def test_another_form_is_wrong_use(spec: str) -> None:
    with pytest.raises(WrongUse, match="does not name a function"):
        open_data(spec)


def test_a_name_that_is_no_module_is_a_data_set_that_is_not_there() -> None:
    with pytest.raises(InputRefused, match="no data set and no folder 'digit:eight'") as caught:
        open_data("digit:eight")
    assert caught.value.hints[0] == "did you mean 'digits'?"
    with pytest.raises(InputRefused, match="there is no module 'digit'"):
        open_data("own:digit:eight")
