"""From a network and criteria to filter scores, with a calibration on training images where they need one."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from prunecli.calibration.gathering import gather
from prunecli.calibration.observing import Losses, Scene
from prunecli.calibration.uniting import unite
from prunecli.criteria.contract import WEIGHT_ONLY, Needs
from prunecli.data import Split
from prunecli.data.splitting import decoded
from prunecli.errors import WrongUse
from prunecli.graph.channel_graph import ChannelGraph, build_graph
from prunecli.processes import Processes, current
from prunecli.progress import Progress, remark, silent
from prunecli.scoring.filter_scores import FilterScores, needs_of, score_filters
from prunecli.training.batches import Batches, floating_dtype
from prunecli.training.device import memory_in_words, pick_device
from prunecli.training.forward import check_fit, logits_of
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.data import Images, open_images
from prunecli.workflows.opening import Opened, Opening, open_checkpoint

HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class CalibrationImages:
    """A random choice of images of one part of the data, with the normalisation that the network needs."""

    name: str
    split: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(self.split)

    @cached_property
    def fingerprint(self) -> str:
        """One hexadecimal number for the images, their classes and their normalisation."""
        images, labels = self.split.pixels(slice(None)), self.split.labels
        digest = hashlib.sha256(repr((self.mean, self.std, tuple(images.shape))).encode())
        digest.update(images.contiguous().numpy().tobytes())
        digest.update(labels.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def batches(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> Batches:
        """The images as normalised batches, the same at every iteration."""
        return Batches(
            self.split,
            mean=self.mean,
            std=self.std,
            batch_size=batch_size,
            device=device,
            dtype=dtype,
        )


@dataclass(kw_only=True)
class Scorer:
    """Scores the filters of a network and of what becomes of it, always on the same images.

    The data is opened when the first criterion needs it, and only then.
    """

    opening: Opening
    opened: Opened
    graph: ChannelGraph
    criteria: tuple[str, ...]
    calibration: Calibration
    seed: int = 0
    images: Images | None = None
    choices: dict[bool, CalibrationImages] = field(default_factory=dict)
    progress: Progress = silent

    @property
    def needs(self) -> Needs:
        """What the criteria read."""
        return needs_of(self.criteria)

    @property
    def needs_data(self) -> bool:
        """Whether images are needed."""
        return bool(self.needs & ~WEIGHT_ONLY)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided about the checkpoint and, where it was opened, the data."""
        return (*self.opened.notes, *(self.images.notes if self.images else ()))

    def at_hand(self) -> Images:
        """The data, opened now if it was not."""
        if self.images is None:
            self.images = open_images(
                self.opened,
                self.calibration.data,
                seed=self.seed,
                skip_bad_images=self.calibration.skip_bad_images,
                progress=self.progress,
            )
        return self.images

    def score(self, network: nn.Module | None = None, *, again: bool = False) -> FilterScores:
        """Layer → criterion → (F,) scores of `network`, the opened one for None; None where not available.

        `again` takes other images and another seed: what a criterion says on another day. Under a launcher
        all processes call it; they share the images, and all have the same scores.
        """
        model = self.opened.model if network is None else network
        seed = self.seed + 1 if again else self.seed
        gathered = self.gathered(model, again=again) if self._gathers else None
        scores = score_filters(model, self.graph, self.criteria, gathered=gathered, seed=seed)
        return scores if gathered is None else of_main(scores, current(), device=self.device)

    @property
    def device(self) -> torch.device:
        """Where this process runs the network; raises what `pick_device` raises."""
        return current().place(pick_device(self.opening.device))

    @property
    def _gathers(self) -> bool:
        return self.needs_data or Needs.SYNAPTIC_FLOW in self.needs

    def gathered(self, model: nn.Module, *, again: bool = False) -> Mapping[str, Mapping[str, Any]]:
        """What a calibration of `model` finds, by layer; of all processes that a launcher started."""
        device, processes = self.device, current()
        model.to(device)
        # Gradients of half-precision networks underflow, and the CPU has no half-precision kernels for some.
        run = copy.deepcopy(model).float() if floating_dtype(model) in HALVES else model
        if not self.needs_data:
            return gather(Scene(run, self.graph, 0, processes), (), classify, needs=self.needs)
        size = self.calibration.batch_size
        with memory_in_words(size):
            batches = self.chosen(again=again).batches(size, device=device, dtype=floating_dtype(run))
            check_fit(run, batches, classes=self.at_hand().data.train.classes)
            scene = Scene(run, self.graph, len(batches), processes)
            return gather(scene, batches, classify, needs=self.needs, progress=self.progress)

    @property
    def has_others(self) -> bool:
        """Whether there are as many training images again as the calibration takes."""
        return len(self.at_hand().data.train) >= 2 * self.calibration.images

    def chosen(self, *, again: bool = False) -> CalibrationImages:
        """The calibration images, chosen once; with `again`, others."""
        if again not in self.choices:
            self.choices[again] = self.drawn(self.at_hand().data.train, again=again)
        return self.choices[again]

    def held_out(self) -> CalibrationImages:
        """As many images of the validation part: no criterion has seen them."""
        return self.drawn(self.at_hand().data.validation)

    def drawn(self, split: Split, *, again: bool = False) -> CalibrationImages:
        """As many random images of `split` as the calibration takes, where there are as many."""
        if self.calibration.batches < 1:
            raise WrongUse("a calibration needs at least one batch", hints=["for example: --batches 8"])
        images = self.at_hand()
        # RandomState, not Generator: numpy promises that its streams never change between releases.
        order = np.random.RandomState(self.seed % 2**32).permutation(len(split))
        count = min(self.calibration.images, len(split))
        picked = order[count : 2 * count] if again else order[:count]
        chosen = decoded(split, torch.from_numpy(np.sort(picked)))
        return CalibrationImages(images.data.name, chosen, tuple(images.mean), tuple(images.std))


def open_scorer(
    opening: Opening,
    criteria: Sequence[str],
    *,
    calibration: Calibration | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Scorer:
    """Open a checkpoint for scoring by `criteria`; raises InputRefused when it cannot be."""
    opened = open_checkpoint(opening, progress=progress)
    return Scorer(
        opening=opening,
        opened=opened,
        graph=build_graph(opened.model, opened.architecture.input_shape),
        criteria=tuple(criteria),
        calibration=calibration or Calibration(),
        seed=seed,
        progress=progress,
    )


def of_main(scores: FilterScores, processes: Processes, *, device: torch.device) -> FilterScores:
    """The scores that the main process has, in every one; all call it together.

    Accelerators may round one sum in several ways, and processes that then cut other filters could no longer
    work together.
    """
    if processes.count == 1:
        return scores
    flat = {f"{name} {layer}": each for layer, found in scores.items() for name, each in found.items()}
    main = {key: each for key, each in flat.items() if each is not None and processes.main}
    unite(main, list(flat), processes=processes, device=device)
    return {layer: {name: main.get(f"{name} {layer}") for name in found} for layer, found in scores.items()}


def classify(model: nn.Module, images: Tensor, labels: Tensor) -> Losses:
    """The cross-entropy of every image (B,), and whether it was classified right (B,)."""
    logits = logits_of(model(images))
    each = functional.cross_entropy(logits, labels, reduction="none")
    return Losses(each, logits.detach().argmax(dim=1) == labels)


def tell_calibration(scorer: Scorer, progress: Progress) -> tuple[str, ...]:
    """Say on how many images the network is run; nothing when no criterion needs any."""
    if not scorer.needs_data:
        return ()
    images = scorer.chosen()
    notes = (f"calibrating on {images.count} training images of {images.name}",)
    remark(progress, notes)
    return notes
