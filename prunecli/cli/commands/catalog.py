"""prunecli catalog."""

from __future__ import annotations

from typing import Annotated

from prunecli.cli import listing
from prunecli.cli.gathering import Manner
from prunecli.cli.names import choice
from prunecli.cli.option import argument
from prunecli.cli.pages import catalog as pages
from prunecli.cli.presenting import present

EXAMPLES = """
prunecli catalog
prunecli catalog criteria
prunecli catalog architectures --format json
"""

Kind = Annotated[
    str | None,
    argument(
        "KIND",
        help=f"One of {', '.join(listing.KINDS)}; all of them when left out.",
        parse=choice("kind", listing.KINDS),
        completion=lambda incomplete: [kind for kind in listing.KINDS if kind.startswith(incomplete)],
    ),
]


def catalog(kind: Kind = None, *, manner: Manner) -> None:
    """List criteria, strategies, architectures, exporters and data: name, one line, source."""
    present("catalog", lambda _: listing.listing(kind), pages=pages, manner=manner)
