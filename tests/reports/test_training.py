"""The report of a fine-tuning: before and after, what it comes to in words, and how to load the result."""

from __future__ import annotations

import pytest
from reports.documents import COMMAND, FACTS, HOSTILE, finetuned
from reports.test_html import Page

from prunecli.reports.building import PARTS, build_report
from prunecli.reports.html import render as as_html
from prunecli.reports.markdown import render as as_markdown


def report_of(**changed):
    return build_report(finetuned(**changed), command=COMMAND, facts=FACTS)


def lines_of(**changed):
    return as_markdown(report_of(**changed)).splitlines()


def words_of(**changed):
    [section] = [section for section in report_of(**changed).sections if section.anchor == "remarks"]
    return section.blocks[0].lines


def test_every_section_is_there():
    report = report_of()
    assert [section.anchor for section in report.sections] == [part.anchor for part in PARTS["finetune"]]
    assert report.title == f"prunecli finetune: {HOSTILE.rpartition('/')[2]}.pt"


@pytest.mark.parametrize(
    ("key", "anchors"),
    [("history", {"course", "epochs"}), ("before", {"figures"}), ("output", {"loading"})],
)
def test_a_section_is_there_only_when_its_key_is(key, anchors):
    found = {section.anchor for section in report_of(**{key: None}).sections}
    assert {part.anchor for part in PARTS["finetune"]} - found == anchors


def test_a_document_with_the_first_keys_only_is_shown_too():
    newer = ("checkpoint", "data", "teacher", "settings", "stopped_early", "recalibrated", "notes")
    report = report_of(**dict.fromkeys(newer))
    anchors = [section.anchor for section in report.sections]
    assert anchors == ["remarks", "figures", "course", "epochs", "loading", "environment", "repeat"]
    assert not any("batch norms" in line for line in lines_of(recalibrated=None))


def test_what_was_asked_leaves_out_what_was_off():
    lines = lines_of()
    assert "| data | digits |" in lines
    assert "| highest learning rate | 0.05 |" in lines
    assert "| nesterov | yes |" in lines
    assert "| frozen modules | stem\\*, &lt;script&gt;alert(1)&lt;/script&gt; |" in lines
    assert f"| teacher | path dense.pt, sha256 {'cd34' * 16} |" in lines
    assert "| share of the teacher's labels | 0.5 |" in lines
    assert not any("| mixup" in line or "norm of a gradient" in line for line in lines)
    assert not any("teacher" in line for line in lines_of(teacher=None))


def test_before_and_after_stand_below_each_other_with_what_was_gained():
    lines = lines_of()
    assert "| as it came | 11 | – | 4.25 |" in lines
    assert "| batch norms measured again | 61.5 | 50.5 | 1.12 |" in lines
    assert "| after the training | 86.2 | 75.2 | 0.457 |" in lines


def test_the_kept_epoch_is_marked():
    lines = lines_of()
    assert "| 1 |  | 0.0500 | 1.50 | 1.25 | 75 | 1.50 | 1,234 |" in lines
    assert "| 2 | best | 0.0500 | 0.500 | 0.625 | 87.5 | 1.50 | 1,234 |" in lines
    assert sum("| best |" in line for line in lines) == 1


def test_the_words_say_what_came_of_it():
    assert words_of() == [
        "Accuracy on the test images went from 11.00 % to 86.25 %: 75.25 points gained.",
        "Measuring the batch norms again alone brought it to 61.50 %.",
        "Epoch 2 of 3 is kept, for its validation accuracy of 87.50 %.",
        "Training ended early after epoch 3: validation accuracy no longer rose.",
        "After epoch 2 training loss fell further while validation loss rose: it began to overfit.",
        f"read {HOSTILE}.pt",
    ]


def test_the_words_say_what_was_lost_and_that_more_might_be_gained():
    history = finetuned()["history"][:2]
    words = words_of(
        before={"accuracy": 90.0}, recalibrated=None, history=history, stopped_early=False, notes=None
    )
    assert words == [
        "Accuracy on the test images went from 90.00 % to 86.25 %: 3.75 points lost.",
        "Epoch 2 of 2 is kept, for its validation accuracy of 87.50 %.",
        "The best epoch is the last one: longer training might gain more.",
    ]


def test_nothing_is_said_of_more_training_where_the_best_came_earlier():
    assert not any("longer training" in line for line in words_of(stopped_early=False))
    assert not any("longer training" in line for line in words_of(history=finetuned()["history"][:2]))


@pytest.mark.parametrize("last", [{"loss": 0.64}, {"train_loss": 0.5}, {"loss": None}])
def test_overfitting_is_only_said_where_it_shows(last):
    history = finetuned()["history"]
    history[-1].update(last)
    assert not any("overfit" in line for line in words_of(history=history))


def test_the_result_is_loaded_in_three_lines():
    text = as_markdown(report_of(output={"path": 'a "b".safetensors', "sha256": "ef" * 32, "bytes": 1300}))
    code = 'import prunecli\nmodel = prunecli.load("a \\"b\\".safetensors")\nmodel.eval()'
    assert f"```python\n{code}\n```" in text
    compile(code, "report", "exec")
    assert "loading" not in [section.anchor for section in report_of(output={"path": "-"}).sections]


def test_the_page_shows_two_pictures_that_are_described():
    page = Page(as_html(report_of()))
    labels = [box["aria-label"] for box in page.of("div") if box.get("class") == "picture"]
    assert labels == [
        "Training and validation loss over 3 epochs; epoch 2 was the best",
        "Validation accuracy over 3 epochs; epoch 2 was the best",
    ]
    assert len(page.of("svg")) == 2
    assert HOSTILE not in as_html(report_of())
