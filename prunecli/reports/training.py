"""The sections on a training: what was asked, before and after, its course, how to load what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from prunecli.reports import pictures
from prunecli.reports.cells import Cell, Status, as_given, gained, went
from prunecli.reports.sections import (
    Block,
    Column,
    Command,
    Document,
    Facts,
    Given,
    Part,
    Picture,
    Remarks,
    Table,
    Words,
    numeric,
)
from prunecli.reports.subject import checkpoint_rows, listed

_SETTINGS = {
    "epochs": "epochs asked for",
    "lr": "highest learning rate",
    "warmup_epochs": "epochs of warm-up",
    "accumulate": "batches a step",
    "clip": "largest norm of a gradient",
    "ema_decay": "decay of the averaged weights",
    "min_delta": "least gain, points",
    "augment": "augmentation",
    "freeze": "frozen modules",
    "distill": "share of the teacher's labels",
    "similarity": "weight of the similarity loss",
}
"""Settings whose name alone does not say what they are."""
_OFF_AT_ZERO = ("warmup_epochs", "min_delta", "mixup", "cutmix", "label_smoothing", "similarity")
_OF_A_TEACHER = ("distill", "temperature", "similarity")
_STAGES = (
    ("before", "as it came"),
    ("recalibrated", "batch norms measured again"),
    ("after", "after the training"),
)


def asked(given: Given) -> Sequence[Block]:
    """The checkpoint, the data, and the settings that had a part in it."""
    document = given.document
    data = document.get("data")
    rows = checkpoint_rows(document)
    if data is not None:
        rows.append(("data", data.get("name") if isinstance(data, Mapping) else str(data)))
    if document.get("teacher") is not None:
        rows.append(("teacher", listed(document["teacher"])))
    rows += [
        (_SETTINGS.get(name, name.replace("_", " ")), listed(value))
        for name, value in (document.get("settings") or {}).items()
        if _has_a_part(name, value, document)
    ]
    return (Facts(rows),) if rows else ()


def in_words(given: Given) -> Sequence[Block]:
    """What it comes to, and the notes of the work."""
    document = given.document
    lines = [*_gain(document), *_choice(document), *_overfitting(document), *(document.get("notes") or ())]
    return (Remarks(lines),) if lines else ()


def before_after(given: Given) -> Sequence[Block]:
    """Accuracy and loss on the test part, stage by stage."""
    document = given.document
    first = document["before"].get("accuracy")
    rows: list[list[Cell]] = []
    for key, words in _STAGES:
        found = document.get(key)
        if found:
            accuracy = found.get("accuracy")
            more = None if key == "before" else gained(first, accuracy)
            rows.append([words, accuracy, more, found.get("loss")])
    columns = [Column("network"), numeric("accuracy, %"), numeric("points gained"), numeric("loss")]
    return (
        Words("The test images had no part in the training and none in the choice of the epoch."),
        Table("On the test images", columns, rows),
    )


def course(given: Given) -> Sequence[Block]:
    """The history as a picture."""
    history = given.document["history"]
    if not history:
        return ()
    best = (given.document.get("best") or {}).get("epoch")
    return (
        Words(
            "Training loss is the mean over the images as they were seen, augmented and with softened "
            "labels where that was asked for, so it can lie above the validation loss."
        ),
        *curves(given.document, said=f"{len(history)} epochs; epoch {best} was the best"),
    )


def curves(document: Document, *, said: str) -> Iterator[Picture]:
    """Loss and accuracy over `said`, each drawn for itself."""
    for panel, figure in (("loss", "Training and validation loss"), ("accuracy", "Validation accuracy")):
        draw = partial(pictures.training_curves, document, panels=(panel,))
        yield Picture(f"{figure} over {said}", draw)


def epochs(given: Given) -> Sequence[Block]:
    """The history in numbers, the epoch that was kept marked."""
    best = (given.document.get("best") or {}).get("epoch")
    rows: list[list[Cell]] = [
        [
            as_given(each["epoch"]),
            Status("best", good=True) if each["epoch"] == best else "",
            each.get("lr"),
            each.get("train_loss"),
            each.get("loss"),
            each.get("accuracy"),
            each.get("seconds"),
            each.get("images_per_second"),
        ]
        for each in given.document["history"]
    ]
    titles = (
        "learning rate",
        "training loss",
        "loss",
        "accuracy, %",
        "seconds",
        "images/s",
    )
    columns = [numeric("epoch"), Column("kept", sortable=False), *map(numeric, titles)]
    return (Table("Each epoch; loss and accuracy are of the validation part", columns, rows),) if rows else ()


def loading(given: Given) -> Sequence[Block]:
    """The file, and how Python gets the network out of it."""
    written = given.document["output"]
    path = written.get("path")
    if not path or path == "-":
        return ()
    lines = (
        "import prunecli",
        f"model = prunecli.load({json.dumps(path, ensure_ascii=False)})",
        "model.eval()",
    )
    return (
        Facts([("file", path), ("bytes", written.get("bytes")), ("sha256", written.get("sha256"))]),
        Command("\n".join(lines), language="python"),
    )


ASKED = Part("asked", "What was asked", asked)
IN_WORDS = Part("remarks", "In words", in_words)
BEFORE_AFTER = Part("figures", "Before and after", before_after, key="before")
COURSE = Part("course", "Course of the training", course, key="history")
EPOCHS = Part("epochs", "Epochs", epochs, key="history")
LOADING = Part("loading", "To load the result", loading, key="output")


def _has_a_part(name: str, value: Any, document: Document) -> bool:
    """Whether a setting was on; those of a teacher are where there was one."""
    if name in _OF_A_TEACHER and not document.get("teacher"):
        return False
    off = value is None or value in ((), []) or (name in _OFF_AT_ZERO and value == 0)
    return not off


def _gain(document: Document) -> list[str]:
    """How far accuracy came, and what the batch norms alone did for it."""
    before, after = _accuracy(document, "before"), _accuracy(document, "after")
    again = _accuracy(document, "recalibrated")
    if before is None or after is None:
        return []
    lines = [went("Accuracy on the test images", before, after)]
    if again is not None:
        lines.append(f"Measuring the batch norms again alone brought it to {again:.2f} %.")
    return lines


def _choice(document: Document) -> list[str]:
    """Which epoch was kept and why there are no more."""
    best, count = document.get("best") or {}, len(document.get("history") or ())
    epoch, accuracy = best.get("epoch"), best.get("accuracy")
    if epoch is None or accuracy is None:
        return []
    lines = [f"Epoch {epoch} of {count} is kept, for its validation accuracy of {accuracy:.2f} %."]
    if document.get("stopped_early"):
        lines.append(f"Training ended early after epoch {count}: validation accuracy no longer rose.")
    elif 1 < count == epoch:
        lines.append("The best epoch is the last one: longer training might gain more.")
    return lines


def _overfitting(document: Document) -> list[str]:
    """Whether, after the best epoch, training loss fell further and validation loss rose."""
    history: Sequence[Mapping[str, Any]] = document.get("history") or []
    epoch = (document.get("best") or {}).get("epoch")
    kept = next((each for each in history if each["epoch"] == epoch), None)
    if kept is None or kept is history[-1]:
        return []
    learnt = gained(kept.get("train_loss"), history[-1].get("train_loss"))
    judged = gained(kept.get("loss"), history[-1].get("loss"))
    if learnt is None or judged is None or learnt >= 0 or judged <= 0.05 * abs(kept["loss"]):
        return []
    return [
        f"After epoch {epoch} training loss fell further while validation loss rose: it began to overfit."
    ]


def _accuracy(document: Document, stage: str) -> float | None:
    found: float | None = (document.get(stage) or {}).get("accuracy")
    return found
