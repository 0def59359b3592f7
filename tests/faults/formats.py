"""Everything that prunecli writes, each as a function of a folder and of what is to be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from prunecli.checkpoints import hold_output, write_checkpoint, write_data, write_folder, write_set
from prunecli.checkpoints.files import fill
from prunecli.checkpoints.safetensors_form import Outline
from prunecli.checkpoints.streamed_saving import write_streamed
from prunecli.latency.saving import save_table
from prunecli.reports.writing import write_report
from prunecli.strategies.diary import Diary, Standing
from prunecli.surgery.plan import GroupCut, Plan
from prunecli.training.resuming import Keeper, RunState
from prunecli.workflows.plan_files import write_plan

DOCUMENT = {"architecture": {"name": "cifar/resnet20", "arguments": {}}, "input_shape": [3, 32, 32]}

Writer = Callable[[Path, str, bool], None]
"""Write what the text asks for below the folder; the flag is --force."""


def tensors(text: str) -> dict[str, torch.Tensor]:
    start = float(len(text))
    return {"a.weight": torch.arange(12.0).reshape(3, 4) + start, "a.steps": torch.tensor(int(start))}


def checkpoint(folder: Path, text: str, force: bool) -> None:
    write_checkpoint(folder / "net.safetensors", tensors(text), DOCUMENT, force=force)


def streamed(folder: Path, text: str, force: bool) -> None:
    state = tensors(text)
    write_streamed(
        str(folder / "net.safetensors"),
        {name: Outline.of(tensor) for name, tensor in state.items()},
        lambda name: state[name].reshape(-1).split(5),
        draft=DOCUMENT,
        document=lambda: DOCUMENT,
        force=force,
    )


def data(folder: Path, text: str, force: bool) -> None:
    write_data(folder / "picture.svg", text.encode(), force=force)


def plan(folder: Path, text: str, force: bool) -> None:
    write_plan(Plan(groups=(GroupCut(text, 4, (1,)),)), str(folder / "plan.json"), force=force)


def table(folder: Path, text: str, force: bool) -> None:
    save_table(folder / "latency.json", {text: 1.0}, machine={}, force=force)


def report(folder: Path, text: str, force: bool) -> None:
    document = {"schema": "prunecli.evaluate/1", "said": text}
    write_report(str(folder / "report.json"), document, command=text, facts={}, force=force)


def pair(folder: Path, text: str, force: bool) -> None:
    def write(path: Path) -> None:
        fill(path, [f"main {text}".encode()])
        fill(path.with_name(f"{path.name}.data"), [f"data {text}".encode()])

    write_set(folder / "net", write, beside=lambda path: (path.with_name(f"{path.name}.data"),), force=force)


def pair_or_one(folder: Path, text: str, force: bool) -> None:
    """The old set has a second file, the new one has none."""
    if text == "old":
        pair(folder, text, force)
        return
    write_set(
        folder / "net",
        lambda path: fill(path, [text.encode()]),
        beside=lambda path: (path.with_name(f"{path.name}.data"),),
        force=force,
    )


def whole_folder(folder: Path, text: str, force: bool) -> None:
    def write(path: Path) -> None:
        for name in ("config.json", "weights"):
            fill(path / name, [f"{name} {text}".encode()])

    write_folder(folder / "made", write, holding=("weights", "config.json"), force=force)


def run_state(folder: Path, text: str, force: bool) -> None:
    state = RunState(epoch=0, step=len(text), tensors={f"model/{n}": t for n, t in tensors(text).items()})
    Keeper(folder=str(folder), origin={"epochs": 3}).save(state)


def standing(folder: Path, text: str, force: bool) -> None:
    diary = Diary(keeper=Keeper(folder=str(folder), origin={"epochs": 3}))
    diary.note(Standing(done=len(text), plan=Plan(), weights=tensors(text)))


def held(write: Writer, name: str) -> Writer:
    """As commands do it: the output is held while the work lasts."""

    def work(folder: Path, text: str, force: bool) -> None:
        with hold_output(folder / name):
            write(folder, text, force)

    return work


WRITERS: dict[str, Writer] = {
    "checkpoint": held(checkpoint, "net.safetensors"),
    "streamed checkpoint": held(streamed, "net.safetensors"),
    "picture": data,
    "plan": plan,
    "report": report,
    "latency table": table,
    "two files": held(pair, "net"),
    "two files, then one": held(pair_or_one, "net"),
    "folder": held(whole_folder, "made"),
    "state of a run": run_state,
    "state of a strategy": standing,
}
ALWAYS_REPLACED = frozenset({"state of a run", "state of a strategy"})
