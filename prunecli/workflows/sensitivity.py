"""What each channel group alone costs: loss and accuracy when it, and nothing else, has lost 10 to 90 %.

Every point is the very cut that `prune` would make, carried out on a copy and judged on held-out images. What
is known is kept in a file after every group, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from prunecli.allocation.bounds import Bounds, produced_by, protected_by
from prunecli.allocation.candidates import Candidate
from prunecli.allocation.choosing import candidates_of
from prunecli.allocation.scales import Curve
from prunecli.checkpoints import check_output, hold_output, refuse_twice, write_data
from prunecli.checkpoints.json_files import read_json
from prunecli.documents import as_json, complete
from prunecli.errors import GateNotMet, InputRefused, Interrupted, WrongUse
from prunecli.graph.costs_left import macs_left
from prunecli.graph.groups import ChannelGroup
from prunecli.interruption import finishing_steps, requested
from prunecli.progress import Progress, silent
from prunecli.reports.notebook import ShownInNotebooks
from prunecli.reports.sensitivity import sensitivity_picture
from prunecli.scoring.group_scores import score_groups
from prunecli.scoring.ranking import removed_count
from prunecli.surgery.cutting import carry_out
from prunecli.surgery.linking import links_of
from prunecli.surgery.planning import make_plan
from prunecli.training.batches import Batches, floating_dtype
from prunecli.training.device import memory_in_words
from prunecli.training.evaluation import evaluate_batches
from prunecli.workflows.calibrating import Scorer, open_scorer
from prunecli.workflows.calibration_request import Calibration
from prunecli.workflows.keeping import Keepsakes
from prunecli.workflows.opening import Opening
from prunecli.workflows.saved_scores import weights_fingerprint
from prunecli.workflows.saving import destination

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
COMMAND = "sensitivity"


@dataclass(frozen=True, kw_only=True)
class SensitivityResult(ShownInNotebooks, command="sensitivity"):
    """The figures of the whole network, and of every group at every ratio; `origin` says of what."""

    origin: Mapping[str, Any]
    before: Mapping[str, float]
    groups: Sequence[Mapping[str, Any]]
    output: Mapping[str, Any] | None
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The JSON of `sensitivity`."""
        return {
            "origin": dict(self.origin),
            "before": dict(self.before),
            "groups": [dict(group) for group in self.groups],
            "output": None if self.output is None else dict(self.output),
        }


def sensitivity(
    opening: Opening,
    *,
    criterion: str = "l2",
    ratios: Sequence[float] = RATIOS,
    calibration: Calibration | None = None,
    residual: str = "coupled",
    protect: Sequence[str] = (),
    seed: int = 0,
    save: str | None = None,
    force: bool = False,
    keep: Keepsakes | None = None,
    progress: Progress = silent,
) -> SensitivityResult:
    """Cut every group alone at every ratio and measure loss and accuracy on images of the validation part.

    The channels with the lowest scores leave. With `save` the figures so far stand in that file after every
    group, and what stands there of the same run is not measured again; `force` begins anew. `keep` names a
    picture and a report.
    Raises WrongUse for a file of another run, GateNotMet when no group can be pruned, Interrupted when the
    command line was asked to stop.
    """
    kept = keep or Keepsakes()
    refuse_twice((save, *kept.paths))
    with destination(opening, *kept.paths, force=kept.force), _held(save, opening):
        scorer = open_scorer(opening, (criterion,), calibration=calibration, seed=seed, progress=progress)
        bounds = Bounds(residual=residual, protect=tuple(protect))
        protected = protected_by(scorer.graph, bounds)
        following = {name for link in links_of(scorer.graph) for name in link.followers}
        staying = {*protected, *following}
        groups = [group for group in scorer.graph.prunable if group.name not in staying]
        if not groups:
            raise GateNotMet("no group can be pruned", hints=list(protected.values()))
        images = scorer.held_out()
        origin = {
            "path": opening.checkpoint,
            "weights": weights_fingerprint(scorer.opened.model),
            "criterion": criterion,
            "ratios": sorted(ratios),
            "data": images.name,
            "images": images.count,
            "fingerprint": images.fingerprint,
            "seed": seed,
        }
        known = _known(save, origin, force=force)
        device, dtype = scorer.device, floating_dtype(scorer.opened.model)
        batches = images.batches(scorer.calibration.batch_size, device=device, dtype=dtype)
        measuring = Measuring(scorer, batches, bounds=bounds, ratios=sorted(ratios))
        with memory_in_words(batches.batch_size), finishing_steps():
            result = measuring.result(groups, origin=origin, known=known, save=save)
        kept.write(COMMAND, result.document(), plot=sensitivity_picture)
    return result


def read_curves(path: str, model: nn.Module) -> dict[str, Curve]:
    """Group name → its curve, from a file that `sensitivity` saved of the same weights.

    Raises InputRefused for another file, or one of other weights.
    """
    document = _document(path)
    origin = document.get("origin")
    if not isinstance(origin, dict) or origin.get("weights") != weights_fingerprint(model):
        raise InputRefused(
            f"the sensitivity in {path!r} is stale: it is of other weights",
            hints=["measure it anew: prunecli sensitivity … --save FILE --force"],
        )
    try:
        return _curves(document)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise InputRefused(f"the sensitivity {path!r} is broken: {type(error).__name__}: {error}") from None


def _curves(document: Mapping[str, Any]) -> dict[str, Curve]:
    loss = document["before"]["loss"]
    return {
        group["name"]: Curve(
            tuple(point["removed"] / group["channels"] for point in group["points"]),
            tuple(point["loss"] - loss for point in group["points"]),
        )
        for group in document["groups"]
        if group["points"]
    }


def _document(path: str) -> dict[str, Any]:
    document = read_json(path, what="the sensitivity")
    if not isinstance(document, dict) or document.get("schema") != f"prunecli.{COMMAND}/1":
        raise InputRefused(
            f"{path!r} holds no sensitivity", hints=["prunecli sensitivity --save FILE makes one"]
        )
    return document


@contextmanager
def _held(save: str | None, opening: Opening) -> Iterator[None]:
    """The file of figures is kept for this run; it may exist, and what it holds is looked at later."""
    if save is None:
        yield
        return
    check_output(save, inputs=[opening.checkpoint] if opening.checkpoint else [], force=True)
    with hold_output(save):
        yield


def _known(save: str | None, origin: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
    """What an earlier run has left in the file, by group."""
    if save is None:
        return {}
    if force or not Path(save).exists():
        check_output(save, force=force)
        return {}
    document = _document(save)
    same = {key: value for key, value in document["origin"].items() if key != "path"}
    if same != {key: value for key, value in origin.items() if key != "path"}:
        raise WrongUse(
            f"{save!r} holds the sensitivity of another network, other images or other settings",
            hints=["name another file, or begin anew with --force"],
        )
    # No group is called "": there stand the figures of the whole network.
    return {"": document["before"], **{group["name"]: group for group in document["groups"]}}


class Measuring:
    """The figures of one network, whole and with single groups cut, on some batches."""

    def __init__(self, scorer: Scorer, batches: Batches, *, bounds: Bounds, ratios: Sequence[float]) -> None:
        self.scorer, self.batches, self.bounds, self.ratios = scorer, batches, bounds, ratios
        self.whole = scorer.opened.model.to(scorer.device)

    def result(
        self,
        groups: Sequence[ChannelGroup],
        *,
        origin: Mapping[str, Any],
        known: Mapping[str, Any],
        save: str | None,
    ) -> SensitivityResult:
        """Measure the groups that are not known, one by one, each kept as soon as it is."""
        missing = [group for group in groups if group.name not in known]
        candidates, whole = self._candidates() if missing else ({}, {})
        told = f"{len(groups) - len(missing)} of {len(groups)} groups were known from {save}"
        result = SensitivityResult(
            origin=origin,
            before=known.get("") or self._figures(self.whole),
            groups=[known[group.name] for group in groups if group.name in known],
            output=None,
            notes=(*self.scorer.notes, *([told] if known else [])),
        )
        for number, group in enumerate(missing, 1):
            row = self._row(group, candidates.get(group.name) or whole[group.name])
            result = replace(result, groups=[*result.groups, row])
            result = replace(result, output=_kept(result, save))
            self.scorer.progress(COMMAND, number, len(missing), {})
            if requested() is not None and number < len(missing):
                raise _stopped(number, len(missing), save)
        return result

    def _candidates(self) -> tuple[dict[str, Candidate], dict[str, str]]:
        """By name the groups that may lose channels, and the reasons why others may not."""
        graph = self.scorer.graph
        scores = score_groups(graph.prunable, graph.layers, self.scorer.score(), self.scorer.criteria[0])
        found, whole = candidates_of(graph, scores, self.bounds)
        return {each.name: each for each in found}, whole

    def _row(self, group: ChannelGroup, found: Candidate | str) -> dict[str, Any]:
        """One group: its points, or the reason why there are none."""
        points, reason = ([], found) if isinstance(found, str) else self._points(found)
        return {
            "name": group.name,
            "channels": group.channels,
            "layers": produced_by(self.scorer.graph, group),
            "points": points,
            "reason": reason or None,
        }

    def _points(self, candidate: Candidate) -> tuple[list[dict[str, Any]], str]:
        """The group at every ratio at which a channel leaves that had not left before."""
        graph, points, name = self.scorer.graph, list[dict[str, Any]](), candidate.name
        whole = macs_left(graph, {})
        for ratio in self.ratios:
            count, _ = candidate.bounded(removed_count(ratio, units=candidate.channels))
            if not count or (points and points[-1]["removed"] == count):
                continue
            planned = make_plan(graph, candidate.leaving(count))
            if planned.protected:
                return [], planned.protected.get(name) or next(iter(planned.protected.values()))
            cut = carry_out(planned.plan, copy.deepcopy(self.whole))
            macs = macs_left(graph, planned.plan.removed) / whole
            points.append({"ratio": ratio, "removed": count, "macs": macs, **self._figures(cut)})
        return points, "" if points else "it has too few channels"

    def _figures(self, network: nn.Module) -> dict[str, float]:
        found = evaluate_batches(network.eval(), self.batches)
        return {"loss": found.loss, "accuracy": found.accuracy}


def _kept(result: SensitivityResult, save: str | None) -> dict[str, Any] | None:
    """The result so far in its file."""
    if save is None:
        return None
    text = as_json(complete(COMMAND, result.document()))

    written = write_data(save, text.encode("ascii"), force=True)
    return {**asdict(written), "path": save}


def _stopped(done: int, of: int, save: str | None) -> Interrupted:
    hint = "the same command goes on from there" if save else "with --save FILE it would go on from there"
    return Interrupted(f"stopped after {done} of {of} groups", hints=[hint], signal=requested() or 2)
