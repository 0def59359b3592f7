"""prunecli sweep."""

from __future__ import annotations

from prunecli.cli import options, sweep_options
from prunecli.cli.gathering import Manner, Subject, command_line
from prunecli.cli.pages import sweep as pages
from prunecli.cli.part_options import Parting
from prunecli.cli.presenting import present
from prunecli.cli.pruning_options import Biting, LossAware
from prunecli.cli.sweep_options import Bounding, Images, Searching, Trying, prune_line
from prunecli.cli.training_options import Learning, Teaching
from prunecli.errors import WrongUse
from prunecli.search import needed
from prunecli.search.storages import without_password

EXAMPLES = """
prunecli sweep model.safetensors --ratio 0.3,0.5,0.7 --criteria l1,l2,fpgm --plot front.png
prunecli sweep model.safetensors --ratio 0.2..0.8 --criteria l2,taylor --strategies one-shot,ghfp --trials 40
prunecli sweep model.safetensors --target macs=0.5,macs=0.3 --scopes local,global
prunecli sweep --scopes local,global --seeds 5 --max-drop 1.0 -o best.safetensors
prunecli sweep model.pt --data images/ --storage postgresql://user@host/studies --study resnet --trials 200
"""


def sweep(
    subject: Subject,
    *,
    trying: Trying,
    searching: Searching,
    bounding: Bounding,
    parting: Parting,
    biting: Biting,
    loss_aware: LossAware,
    learning: Learning,
    teaching: Teaching,
    images: Images,
    manner: Manner,
    epochs: sweep_options.Epochs = 10,
    pick: sweep_options.Pick = None,
    output: sweep_options.Output = None,
    plot: options.Plot = None,
    report: options.Report = None,
    force: options.Force = False,
) -> None:
    """Try many (criterion, strategy, ratio, scope), on many machines, and show accuracy against MACs."""
    if pick is not None and output is None:
        raise WrongUse("--pick says which network is written", hints=["add: -o best.safetensors"])
    needed()
    from prunecli.workflows.keeping import Keepsakes
    from prunecli.workflows.sweep import sweep as work

    groups = (bounding, parting, biting, loss_aware, learning, teaching, images)
    command = without_password(command_line())
    present(
        "sweep",
        lambda progress: work(
            subject.opening(),
            space=trying.space(),
            budget=searching.budget(seed=bounding.seed),
            study=searching.wish(),
            pruning={
                **bounding.arguments(),
                "epochs": epochs,
                "training": learning.settings(seed=bounding.seed, **teaching.choices()),
                "bites": biting.wishes(),
                "parts": parting.wishes(),
                "loss_aware": loss_aware.wishes(),
                "rewind": parting.rewind,
            },
            data=images.data,
            skip_bad_images=images.skip_bad_images,
            pick=pick,
            output=output,
            force=force,
            keep=Keepsakes(plot=plot, report=report, force=force, command=command),
            command_of=lambda values: prune_line(values, subject, *groups, epochs=epochs),
            progress=progress,
        ),
        pages=pages,
        manner=manner,
        destination=output,
        following=pages.following,
    )
