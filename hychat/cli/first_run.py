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
    from collections.abc import Mapping

    from hychat.domain.model import ModelSpec


_NONE: Final = "q"
"""What Ctrl+D types as well."""
_INDENT: Final = "     "
_FETCHING: Final = f"hychat models pull {DEFAULT}"


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
        _tell_offer(spec, output)
        if consent.says_yes or ask_yes(_("Fetch it now?"), output):
            _fetch(spec.name, output, consent)
    return name


def _missing(name: str) -> "ModelSpec | None":
    """A model that the hub has and this machine has not."""
    try:
        spec = find(name)
    except ModelNotFound:
        return None  # a path, or told by whoever loads it
    return (
        spec
        if spec.is_for_chat and installed_path(spec) is None and any(file.repository for file in spec.files)
        else None
    )


def _one_to_begin_with(output: Output, consent: Consent) -> str:
    """On a terminal the user chooses, once; offline and in a pipe the starter answers where there is one.

    Raises:
        ModelNotFound: There is none, and nobody to ask.
        DownloadError: The one that was chosen could not be fetched.
    """
    if is_installed(DEFAULT):
        return DEFAULT
    has_starter = is_installed(STARTER)
    may_fetch = not is_offline()
    if may_fetch and consent.says_yes and (_tell_offer(find(DEFAULT), output) or not has_starter):
        return _fetch(DEFAULT, output, consent)
    if may_fetch and not consent.says_yes and can_ask(output):
        return _chosen(output, consent, has_starter=has_starter)
    if has_starter:
        output.note(_("No Hunyuan model is here yet, so the small starter answers."))
        output.note(_how_to_fetch_it())
        return STARTER
    if is_offline():
        raise ModelNotFound(_("No model is on this machine yet."), hint=f"{_how_to_fetch_it()}\n{_without_the_hub()}")
    raise ModelNotFound(
        _("No model is on this machine yet."),
        hint=_("Fetch one with: {command}").format(command=f"{_FETCHING} --accept-licence"),
    )


def _how_to_fetch_it() -> str:
    later = _("When you are online again: {command}") if is_offline() else _("Fetch one with: {command}")
    return later.format(command=_FETCHING)


def _chosen(output: Output, consent: Consent, *, has_starter: bool) -> str:
    """Offer the default with what it costs, and the starter, which Enter takes where the default is too large."""
    output.report(_("No Hunyuan model is on this machine yet."))
    choices = {"1": DEFAULT}
    is_fitting = _tell_offer(find(DEFAULT), output, "  1  ")
    if has_starter:
        choices["2"] = STARTER
        starter = _("Begin with {title}: it is here, small, and knows English only.")
        output.paragraph(starter.format(title=find(STARTER).title), "  2  ")
    elif not is_fitting:
        output.paragraph(_("A smaller model begins on less memory."), _INDENT)
        output.report(_INDENT + how_to_install(find(STARTER)))
    name = _choice(choices, "1" if is_fitting else "2", output)
    if name == STARTER:
        _remember(STARTER)
        return STARTER
    return _fetch(name, output, consent)


def _choice(names: "Mapping[str, str]", recommended: str, output: Output) -> str:
    """The name behind the number that is typed; Enter is the recommended one's, where that is among them.

    Raises:
        ModelNotFound: The user wants none of them.
    """
    question = _("Your choice (Enter: {number}, q: none):") if recommended in names else _("Your choice (q: none):")
    while (answer := _asked(question.format(number=recommended), output)) != _NONE:
        if (name := names.get(answer or recommended)) is not None:
            return name
    raise ModelNotFound(_("No model was chosen."), hint=_("Later: {command}").format(command=_FETCHING))


def _tell_offer(spec: "ModelSpec", output: Output, mark: str = "") -> bool:
    """What fetching a model means, and what memory it needs; whether there is as much, as far as that is known."""
    from hychat.catalogue.cache import hub_cache_folder
    from hychat.catalogue.fits import files_bytes, fit
    from hychat.domain.numbers import size
    from hychat.engine.gpus import gpu_memory_bytes
    from hychat.engine.memory import machine_memory

    total = files_bytes(spec)
    text = _("Fetch {title} ({size}, {licence}) into {folder}").format(
        title=spec.title,
        size=size(total) if total else _("size unknown"),
        licence=spec.licence.title if spec.licence else _("licence unknown"),
        folder=hub_cache_folder(),
    )
    output.paragraph(text, mark)
    fitting = fit(spec, machine_memory(), gpu_memory_bytes())
    if fitting is None:
        return True
    memory = _("Memory: {figures}.") if fitting.is_fitting else _("Too little memory: {figures}.")
    output.paragraph(memory.format(figures=fitting.in_words()), " " * len(mark))
    return fitting.is_fitting


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
    begin = _("Without the hub, or without that licence, a small model begins.")
    return f"{begin}\n{how_to_install(find(STARTER))}"


def _remember(name: str) -> None:
    """Make it the model that is talked to, so that the question is asked once."""
    from hychat.config.save import set_value
    from hychat.paths import config_file

    set_value(config_file(), "model", name)


def _asked(question: str, output: Output) -> str:
    output.stderr.write(f"{question} ")
    line = sys.stdin.readline()
    return line.strip().lower() if line else _NONE
