"""`hychat gguf build`: make a GGUF by its recipe, step by step; what a step has made already is not made again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hychat.cli import options
from hychat.cli.commands import Command
from hychat.cli.gguf import shared
from hychat.cli.interrupt import cancelled_by_ctrl_c
from hychat.cli.output import Output
from hychat.domain.errors import UsageError
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.conversion.recipe import Recipe, RecipeImatrix

_DEVIATION: float = 0.02
"""How far a size may be from the recipe's: conversions differ in their header."""


def _recipe_names(incomplete: str) -> list[str]:
    from hychat.conversion.recipe import known_recipes

    return [recipe.name for recipe in known_recipes() if recipe.name.startswith(incomplete)]


_Name = Annotated[
    str | None,
    typer.Argument(
        help=_("A recipe's name, or its .yaml file; without one, the recipes are listed."),
        metavar=_("RECIPE"),
        autocompletion=_recipe_names,
    ),
]
_Folder = Annotated[
    Path,
    typer.Option(
        "-o", "--output", help=_("The folder for what is made; the current one if not said."), metavar=_("FOLDER")
    ),
]
_GpuLayers = Annotated[int, shared.gpu_layers()]
_Threads = Annotated[int | None, shared.threads()]
_Mirror = Annotated[
    str | None, typer.Option("--mirror", help=_("Fetch from this hub instead of huggingface.co."), metavar=_("URL"))
]
_AcceptLicence = Annotated[bool, options.accept_licence()]
_Json = Annotated[bool, shared.as_json()]


def build(  # noqa: PLR0913 - one parameter an option
    recipe: _Name = None,
    *,
    folder: _Folder = Path(),
    gpu_layers: _GpuLayers = 0,
    threads: _Threads = None,
    mirror: _Mirror = None,
    accept_licence: _AcceptLicence = False,
    as_json: _Json = False,
) -> None:
    """Prints where the GGUF is."""
    from hychat.conversion.recipe import find_recipe

    output = Output.of_process()
    if recipe is None:
        _list(output, as_json=as_json)
        return
    found = find_recipe(recipe)
    _check(found, folder)
    work = _Work(found, folder, output, gpu_layers, threads, mirror, accept_licence)
    result = work.result()
    size = result.stat().st_size
    if found.bytes and abs(size / found.bytes - 1) > _DEVIATION:
        message = _("It has {size} bytes; the recipe expects {expected}. Source or llama.cpp may be other ones.")
        output.warn(message.format(size=size, expected=found.bytes))
    if as_json:
        facts = {"recipe": found.name, "path": str(result), "bytes": size, "expected_bytes": found.bytes}
        output.json({**facts, "made": [str(path) for path in work.made]})
    else:
        output.text(str(result))


def _check(recipe: "Recipe", folder: Path) -> None:
    """What would otherwise be noticed after hours.

    Raises:
        UsageError: There is no such folder.
        InputUnreadable: The text for the importance matrix is missing, or no text.
    """
    from hychat.conversion.imatrix import text_of

    if not folder.is_dir():
        raise UsageError(_("There is no folder {path}.").format(path=folder))
    if recipe.imatrix is not None:
        text_of(recipe.folder / recipe.imatrix.text)


@dataclass
class _Work:
    """One recipe in one folder."""

    recipe: "Recipe"
    folder: Path
    output: Output
    gpu_layers: int
    threads: int | None
    mirror: str | None
    accepts_licence: bool
    made: list[Path] = field(default_factory=list)
    """What was not there before."""

    def result(self) -> Path:
        """The quantized model."""
        return self._once(self.recipe.result_file(self.folder), self._quantize)

    def _full(self) -> Path:
        """The model in full: converted from the checkpoint, or where it is."""
        if self.recipe.source.model is not None:
            return shared.located(self.recipe.source.model)
        return self._once(self.recipe.full_file(self.folder), self._convert)

    def _once(self, target: Path, make: Callable[[Path], None]) -> Path:
        if target.exists():
            self.output.note(_("{path} is there already.").format(path=target))
        else:
            make(target)
            self.made.append(target)
        return target

    def _convert(self, target: Path) -> None:
        from hychat.cli.gguf.convert import checkpoint_folder
        from hychat.conversion.convert import convert

        source = checkpoint_folder(self.recipe.source.typed, self.mirror, self.output, is_agreed=self.accepts_licence)
        tell = shared.progress(self.output, _("Converting {name}").format(name=self.recipe.source.typed))
        with cancelled_by_ctrl_c() as cancel:
            convert(source, target, self.recipe.outtype, cancel, tell)
        self.output.end()

    def _matrix(self, full: Path) -> Path | None:
        """The importance matrix, where the recipe wants one."""
        if self.recipe.imatrix is None:
            return None
        return self._once(self.recipe.imatrix_file(self.folder), partial(self._measure, full, self.recipe.imatrix))

    def _measure(self, full: Path, wanted: "RecipeImatrix", target: Path) -> None:
        from hychat.conversion.imatrix import Reading, make_imatrix

        text = self.recipe.folder / wanted.text
        reading = Reading(text, most_chunks=wanted.chunks, gpu_layers=self.gpu_layers, threads=self.threads)
        step = _("Reading {text} with {model}").format(text=wanted.text, model=full.name)
        with cancelled_by_ctrl_c() as cancel:
            make_imatrix(full, reading, target, cancel, shared.progress(self.output, step))
        self.output.end()

    def _quantize(self, target: Path) -> None:
        from hychat.cli.gguf.quantize import tell_remarks
        from hychat.conversion.quantize import Quantization, quantize

        full = self._full()
        wanted = Quantization(
            full,
            self.recipe.quantize,
            self._matrix(full),
            self.recipe.keep_shared,
            self.recipe.allow_requantize,
            self.threads,
        )
        step = _("Quantizing {name}").format(name=full.name)
        with cancelled_by_ctrl_c() as cancel:
            done = quantize(wanted, target, cancel, shared.progress(self.output, step))
        self.output.end()
        tell_remarks(self.output, done)


def _list(output: Output, *, as_json: bool) -> None:
    from hychat.cli.wrapping import width_of
    from hychat.conversion.recipe import known_recipes

    recipes = known_recipes()
    if as_json:
        output.json([{"name": recipe.name, "title": recipe.title, "bytes": recipe.bytes} for recipe in recipes])
        return
    width = max((width_of(recipe.name) for recipe in recipes), default=0)
    output.text("\n".join(f"{recipe.name:<{width}}  {recipe.title}" for recipe in recipes))


app = typer.Typer(name="build", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Make a GGUF by a recipe: convert, measure, quantize."))(build)
