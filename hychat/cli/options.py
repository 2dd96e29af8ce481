"""Options that several commands take, each declared once; those that every command takes are taken out in `main`."""

from functools import partial
from typing import Final, NamedTuple

import typer

from hychat.messages import _

yes: Final = partial(
    typer.Option, "-y", "--yes", help=_("Answer yes to every question; a licence still needs --accept-licence.")
)
accept_licence: Final = partial(
    typer.Option, "--accept-licence", help=_("Agree to the model's licence, which `hychat models info` shows.")
)


class Consent(NamedTuple):
    """What was agreed to on the command line, so that it is not asked."""

    says_yes: bool = False
    """To questions; a licence is none of them."""
    accepts_licence: bool = False
