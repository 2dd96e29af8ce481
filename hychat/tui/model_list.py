"""The models as rows of a list, in groups: what comes first, what is here, what can be fetched, what is too large."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hychat.catalogue.find import DEFAULT, STARTER, how_to_install, is_path
from hychat.catalogue.listing import ListedModel
from hychat.catalogue.reference import is_reference
from hychat.domain.numbers import size
from hychat.messages import _
from hychat.tui.widgets.picklist import Item


@dataclass(frozen=True, slots=True)
class Situation:
    """What the rows depend on beside the models."""

    present: str
    """The model that answers; empty where none does."""
    fetched: str = ""
    """The one that is on its way."""
    percent: str = ""
    """How much of it is here."""
    is_first: bool = False
    """Whether the user has yet to begin with one."""
    is_offline: bool = False
    """Whether the hub cannot be reached, or may not be."""


def model_items(models: Sequence[ListedModel], words: str, situation: Situation) -> list[Item]:
    """The rows for what is typed."""
    typed = words.strip()
    known = {model.name for model in models}
    found = [model for model in models if _has(model, typed.lower().split())]
    rows = list(_typed(typed)) if typed not in known else []
    for title, group in _groups(found, situation):
        items = [_item(model, situation, is_first=title == _first_title()) for model in group]
        if items:
            rows += [*([Item(f"-{title}", "", is_heading=True)] if rows else []), Item(title, title, is_heading=True)]
            rows += items
    if situation.fetched and situation.fetched not in known:
        rows.insert(0, Item(situation.fetched, situation.fetched, facts=situation.percent))
    return rows


def installable(model: ListedModel) -> str:
    """How a model comes here that no hub has: a command; empty for all others."""
    spec = model.spec
    if spec is None or model.is_installed or any(file.repository for file in spec.files):
        return ""
    return how_to_install(spec)


def size_of(count: int | None) -> str:
    """Bytes for people, also where nobody knows how many."""
    return size(count) if count else _("size unknown")


def _typed(text: str) -> Iterator[Item]:
    """What was typed, where it names a model by itself."""
    if is_reference(text):
        yield Item(
            text, _("Fetch {name}").format(name=text), detail=_("from the hub: hf:owner/repository[:quantization]")
        )
    elif is_path(text):
        yield Item(text, _("Use the file {path}").format(path=text), detail=_("a GGUF on this machine"))


def _has(model: ListedModel, words: Iterable[str]) -> bool:
    searched = f"{model.name} {model.title} {_capabilities(model)}".lower()
    return all(word in searched for word in words)


def _first_title() -> str:
    return _("To begin with")


def _groups(models: Sequence[ListedModel], situation: Situation) -> Iterator[tuple[str, list[ListedModel]]]:
    """Titles, each with its models; every model once."""
    left = sorted(models, key=lambda model: model.name != DEFAULT)
    first = [model for model in left if situation.is_first and _is_first(model, situation)]
    left = [model for model in left if model not in first]
    too_large = [model for model in left if not model.is_installed and model.fit and not model.fit.is_fitting]
    yield _first_title(), first
    yield _("On this machine"), [model for model in left if model.is_installed]
    yield _("To be fetched"), [model for model in left if not model.is_installed and model not in too_large]
    memory = size(too_large[0].fit.memory_bytes) if too_large and too_large[0].fit else ""
    yield _("Too large for this machine ({memory} of memory)").format(memory=memory), too_large


def _is_first(model: ListedModel, situation: Situation) -> bool:
    """Whether to begin with it: the default, and the starter where it is here or nothing else can be fetched."""
    return model.name == DEFAULT or (model.name == STARTER and (model.is_installed or situation.is_offline))


def _item(model: ListedModel, situation: Situation, *, is_first: bool) -> Item:
    facts = (*_standing(model, situation, is_first=is_first), size_of(model.bytes))
    return Item(model.name, model.title, facts=" · ".join(facts), detail=_detail(model, is_first=is_first))


def _standing(model: ListedModel, situation: Situation, *, is_first: bool) -> Iterator[str]:
    if model.name == situation.fetched:
        yield situation.percent
    elif model.name == situation.present:
        yield _("answers now")
    elif is_first and model.name == DEFAULT and not model.is_installed and (model.fit is None or model.fit.is_fitting):
        yield _("recommended")
    elif is_first and model.is_installed:
        yield _("small, knows English only")


def _detail(model: ListedModel, *, is_first: bool) -> str:
    facts = [model.name]
    if model.fit and not model.fit.is_fitting:
        facts.append(_("needs {size} of memory").format(size=size(model.fit.needed_bytes)))
    if (how := installable(model)) and is_first:
        facts.append(how)
    facts += [_capabilities(model), model.licence.title if model.licence else ""]
    return " · ".join(filter(None, facts))


def _capabilities(model: ListedModel) -> str:
    words = {
        "text": _("text"),
        "image": _("images"),
        "translate": _("translation"),
        "guard": _("for the safety filter"),
    }
    capabilities = model.spec.capabilities if model.spec else frozenset()
    return ", ".join(word for name, word in words.items() if name in capabilities)
