"""`hychat models`: what there is, what is here, and how it comes and goes."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hychat.cli import options, typed
from hychat.cli.commands import Command, Group
from hychat.cli.output import Output
from hychat.cli.stdin import can_ask
from hychat.domain.errors import ModelNotFound, UsageError
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.catalogue.fits import Fit
    from hychat.cli.pulling import Fetched
    from hychat.domain.model import LocalModel, ModelSpec

app = typer.Typer(
    name="models",
    cls=Group,
    help=_("List, fetch and delete models."),
    rich_markup_mode=None,
    add_completion=False,
)

_argument = partial(typer.Argument, metavar=_("MODEL"), autocompletion=typed.model_names)
_Names = Annotated[list[str], _argument(help=_("Names of models, as `hychat models list` writes them."))]
_AnyName = Annotated[str, _argument(help=_("A name, hf:owner/repository[:quantization or file], or a path."))]
_Json = Annotated[bool, typer.Option("--json", help=_("Print JSON."))]
_Yes = Annotated[bool, options.yes()]
_AcceptLicence = Annotated[bool, options.accept_licence()]
_Mirror = Annotated[
    str | None, typer.Option("--mirror", help=_("Fetch from this hub instead of huggingface.co."), metavar=_("URL"))
]


@dataclass(frozen=True, slots=True)
class _Row:
    """A model in the list."""

    name: str
    title: str
    path: str | None
    bytes: int | None
    fit: "Fit | None"
    licence: str | None
    needs_acknowledgement: bool = False
    is_for_chat: bool = True
    sees: bool = False
    lacks_projector: bool = False

    @property
    def is_installed(self) -> bool:
        return self.path is not None

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "title": self.title,
            "installed": self.is_installed,
            "path": self.path,
            "bytes": self.bytes,
            "fits": self.fit.is_fitting if self.fit else None,
            "needs_memory_bytes": self.fit.needed_bytes if self.fit else None,
            "memory_bytes": self.fit.memory_bytes if self.fit else None,
            "gpu_memory_bytes": self.fit.gpu_bytes if self.fit else None,
            "licence": self.licence,
            "licence_needs_acknowledgement": self.needs_acknowledgement,
            "is_for_chat": self.is_for_chat,
            "sees": self.sees,
            "projector_installed": self.is_installed and not self.lacks_projector if self.sees else None,
        }


@app.command("list", cls=Command, help=_("List the models that are here, and those that can be fetched."))
def list_(*, as_json: _Json = False) -> None:
    """Those that are here first."""
    output = Output.of_process()
    if as_json:
        output.json([row.as_json() for row in _sorted_rows()])
    else:
        output.text(listing(output.stdout.size().columns if output.stdout.is_terminal else None))


def listing(columns: int | None = None) -> str:
    """The models as a table, those that are here first; without the licences where those do not fit the columns."""
    table = _table(_sorted_rows())
    if columns is None or all(_width(line) <= columns for line in table.splitlines()):
        return table
    return _table(_sorted_rows(), has_licence=False)


@app.command(cls=Command, help=_("Fetch a model; goes on where it was stopped."))
def pull(
    model: _AnyName,
    *,
    accept_licence: _AcceptLicence = False,
    mirror: _Mirror = None,
    as_json: _Json = False,
    yes: _Yes = False,  # noqa: ARG001 - a licence is all that is asked here, and no yes agrees to that
) -> None:
    """Prints where the model is."""
    from hychat.catalogue.cache import hub_cache_folder
    from hychat.catalogue.find import locate
    from hychat.catalogue.hub import hub_endpoint
    from hychat.catalogue.pulling import pull_model, wanted
    from hychat.cli.pulling import Fetched, PullView, agree, tell_fetched

    output = Output.of_process()
    if (present := _is_elsewhere(model)) is not None:
        output.note(_("{name} is here already; there is nothing to fetch.").format(name=model))
        files = [*_files_of(Path(present), hub_cache_folder())]
        tell_fetched(model, present, files, output, as_json=as_json)
        return
    endpoint = hub_endpoint(mirror)
    found = wanted(model, endpoint)
    if found.was_chosen:
        output.note(_("Of several files, hychat takes {file}.").format(file=found.files[0].file))
    if found.unfitting_projectors:
        told = _("It comes without a projector, so it cannot see: none of these has its name: {files}.")
        output.note(told.format(files=", ".join(found.unfitting_projectors)))
    is_agreed = agree(found.licence, output, accepted=accept_licence)
    done = PullView(output).show(pull_model(found, hub_cache_folder(), endpoint, is_agreed=is_agreed))
    local = locate(found.name)
    output.note(
        _("Ready: hychat -m {name}").format(name=found.name)
        if local.spec.is_for_chat
        else _("Ready: it rules from now on where the safety filter is strict (--safety strict).")
    )
    files = [Fetched.of(event, file) for event, file in zip(done, found.files, strict=True)]
    tell_fetched(found.name, local.path, files, output, as_json=as_json)


@app.command(cls=Command, help=_("Tell all that is known of a model."))
def info(model: _AnyName, *, as_json: _Json = False) -> None:
    """From the catalogue, and from the file where it is here."""
    from hychat.catalogue.find import locate
    from hychat.cli.model_info import facts_of, facts_of_file, facts_of_sight, table

    output = Output.of_process()
    spec = _spec(model)
    try:
        local: LocalModel | None = locate(model)
    except ModelNotFound:
        if spec is None:
            raise
        local = None
    facts = facts_of(spec) if spec else []
    facts += facts_of_sight(spec, local)
    facts += facts_of_file(local.path) if local else []
    if as_json:
        output.json({fact.key: fact.value for fact in facts})
    else:
        output.text(table(facts))


@app.command(cls=Command, help=_("Delete models from this machine."))
def rm(models: _Names, *, yes: _Yes = False) -> None:
    """Says how much room it made. Files outside of the cache are the user's own and stay."""
    from hychat.catalogue.find import locate
    from hychat.catalogue.removing import files_to_remove, remove_model
    from hychat.cli.pulling import ask_yes
    from hychat.domain.numbers import size

    output = Output.of_process()
    for name in models:
        local = locate(name)
        files_to_remove(local)
        if not yes and not can_ask(output):
            hint = _("To delete without being asked: hychat models rm --yes {name}")
            raise UsageError(_("Nothing was deleted."), hint=hint.format(name=name))
        if not yes and not ask_yes(_("Delete {name}?").format(name=name), output):
            output.note(_("{name} stays.").format(name=name))
            continue
        freed = size(remove_model(local))
        output.note(_("Deleted {name}: {size} are free again.").format(name=name, size=freed))


@app.command(cls=Command, help=_("Delete partial downloads, and files that no model needs any more."))
def prune(*, as_json: _Json = False, yes: _Yes = False) -> None:
    """Lists them with their sizes, asks, deletes; in JSON it only lists them where no yes was typed."""
    from hychat.cli.pruning import prune

    prune(Output.of_process(), as_json=as_json, says_yes=yes)


@app.command(cls=Command, help=_("Print where a model's file is; without a name, where models are kept."))
def path(model: Annotated[str | None, _argument(help=_("A model that is here."))] = None) -> None:
    """For scripts."""
    from hychat.catalogue.cache import hub_cache_folder
    from hychat.catalogue.find import locate

    Output.of_process().text(str(hub_cache_folder()) if model is None else locate(model).path)


def _sorted_rows() -> list[_Row]:
    return sorted(_rows(), key=lambda row: not row.is_installed)


def _rows() -> Iterable[_Row]:
    from hychat.catalogue.listing import list_models

    for model in list_models():
        licence = model.licence
        yield _Row(
            model.name,
            model.title,
            str(model.path) if model.path else None,
            model.bytes,
            model.fit,
            licence.title if licence else None,
            bool(licence and licence.needs_acknowledgement),
            model.is_for_chat,
            model.sees,
            model.lacks_projector,
        )


def _table(rows: Sequence[_Row], *, has_licence: bool = True) -> str:
    from hychat.domain.numbers import size

    cells = [(_("NAME"), _("SIZE"), _("HERE"), _("FITS"), _("LICENCE"))]
    cells += [
        (
            row.name,
            size(row.bytes) if row.bytes else "?",
            _("in part") if row.lacks_projector else _("yes") if row.is_installed else "",
            f"{_fit_in_words(row.fit)} ({special})" if (special := _special(row)) else _fit_in_words(row.fit),
            row.licence or "",
        )
        for row in rows
    ]
    shown = len(cells[0]) - (not has_licence)
    widths = [max(_width(row[column]) for row in cells) for column in range(shown)]
    return "\n".join(
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in cells
    )


def _special(row: _Row) -> str:
    """What sets a model apart from the others."""
    if row.lacks_projector:
        return _("its projector is missing")
    return _("for the safety filter") if not row.is_for_chat else _("sees pictures") if row.sees else ""


def _width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def _fit_in_words(fit: "Fit | None") -> str:
    if fit is None:
        return "?"
    return _("yes") if fit.is_fitting else _("no: {reason}").format(reason=fit.in_words())


def _spec(name: str) -> "ModelSpec | None":
    """What the catalogue knows of a name; None for a file of the hub, and for a path.

    Raises:
        ModelNotFound: It is neither, and not in the catalogue.
    """
    from hychat.catalogue.find import find, is_path
    from hychat.catalogue.reference import is_reference

    if is_reference(name) or is_path(name):
        return None
    try:
        return find(name)
    except ModelNotFound:
        if os.path.isfile(name):  # noqa: PTH113 - a question, not a path to keep
            return None
        raise


def _is_elsewhere(name: str) -> str | None:
    """Where a model is that is not fetched from the hub: a path, or inside a package. Others are the hub's business."""
    from hychat.catalogue.find import how_to_install, installed_path, locate
    from hychat.catalogue.hub import is_offline
    from hychat.catalogue.reference import is_reference, read_reference

    if is_reference(name):
        return _fetched_before(name) if read_reference(name).choice or is_offline() else None
    spec = _spec(name)
    if spec is None:
        return _audited(locate(name).path)
    if any(file.repository for file in spec.files):
        return None
    present = installed_path(spec)
    if present is None:
        raise ModelNotFound(
            _("The model {name} is not on this machine.").format(name=spec.name), hint=how_to_install(spec)
        )
    return str(present)


def _fetched_before(name: str) -> str | None:
    """Where a file of the hub is that is here already; None where the hub may have what would let it see."""
    from hychat.catalogue.find import locate
    from hychat.catalogue.hub import is_offline
    from hychat.engine.gguf import read_header
    from hychat.engine.projector import may_see

    try:
        local = locate(name)
    except ModelNotFound:
        return None
    is_whole = is_offline() or local.spec.projector is not None or not may_see(read_header(local.path))
    return local.path if is_whole else None


def _audited(path: str) -> str:
    from hychat.engine.audit import audit
    from hychat.engine.gguf import read_header

    audit(read_header(path))
    return path


def _files_of(path: Path, cache: Path) -> "Iterator[Fetched]":
    """The files of a model that was here before: all parts of it, where they lie in the cache."""
    from hychat.catalogue.cache import cached_path
    from hychat.catalogue.removing import place_in_cache
    from hychat.cli.pulling import Fetched
    from hychat.domain.model import ModelFile

    repository, files = place_in_cache(path, cache) or (None, [path.name])
    for name in files:
        file = ModelFile(file=name, repository=repository)
        yield Fetched(cached_path(cache, file) or path, file)
