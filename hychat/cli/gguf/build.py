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
from hychat.cli.output import Output
from hychat.domain.errors import ConversionError, ModelUnusable, UsageError
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.conversion.recipe import Recipe, RecipeImatrix, Recipes

_DEVIATION: float = 0.02
"""How far a size may be from the recipe's: conversions differ in their header."""


def _recipe_names(incomplete: str) -> list[str]:
    from hychat.conversion.recipe import known_recipes

    return [recipe.name for recipe in known_recipes().sound if recipe.name.startswith(incomplete)]


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
    output = Output.of_process()
    if recipe is None:
        _list(output, as_json=as_json)
        return
    found = _recipe(recipe, output)
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


def _recipe(typed: str, output: Output) -> "Recipe":
    """The recipe of that name, or in that file. Raises as `read_recipe_file` and `Recipes.named`."""
    from hychat.conversion.recipe import is_recipe_file, read_recipe_file

    return read_recipe_file(Path(typed)) if is_recipe_file(typed) else _known(output).named(typed)


def _known(output: Output) -> "Recipes":
    """The recipes that have names; a file that breaks the form is told, and stands in no other's way."""
    from hychat.conversion.recipe import known_recipes

    recipes = known_recipes()
    for error in recipes.broken:
        output.warn(error.message)
    return recipes


def _check(recipe: "Recipe", folder: Path) -> None:
    """What would otherwise be noticed after hours.

    Raises:
        UsageError: There is no such folder.
        InputUnreadable: The text for the importance matrix is missing, or no text.
    """
    if not folder.is_dir():
        raise UsageError(_("There is no folder {path}.").format(path=folder))
    if recipe.imatrix is not None:
        shared.text_at(recipe.folder / recipe.imatrix.text)


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
        from hychat.conversion.quantize import sound_header

        return self._once(self.recipe.result_file(self.folder), self._quantize, sound_header)

    def _full(self) -> Path:
        """The model in full: converted from the checkpoint, or where it is."""
        if self.recipe.source.model is not None:
            return shared.located(self.recipe.source.model)
        from hychat.conversion.quantize import sound_header

        return self._once(self.recipe.full_file(self.folder), self._convert, sound_header)

    def _once(self, target: Path, make: Callable[[Path], None], look: Callable[[Path], object]) -> Path:
        """The file, made now if it is not there; `look` raises where what is there is not what it should be.

        Raises:
            ConversionError: It is not.
        """
        if not target.exists():
            make(target)
            self.made.append(target)
            return target
        try:
            look(target)
        except (ModelUnusable, ConversionError) as error:
            raise ConversionError(
                _("{path} is there already, and no work of this recipe: {reason}").format(
                    path=target, reason=error.message
                ),
                hint=_("Delete it, or choose another folder: -o FOLDER"),
            ) from error
        self.output.note(_("{path} is there already.").format(path=target))
        return target

    def _convert(self, target: Path) -> None:
        from hychat.cli.gguf.convert import checkpoint_folder
        from hychat.conversion.convert import convert

        source = checkpoint_folder(self.recipe.source.typed, self.mirror, self.output, is_agreed=self.accepts_licence)
        tell = shared.progress(self.output, _("Converting {name}").format(name=self.recipe.source.typed))
        with shared.stoppable(self.output) as cancel:
            convert(source, target, self.recipe.outtype, cancel, tell)

    def _matrix(self, full: Path) -> Path | None:
        """The importance matrix, where the recipe wants one."""
        if self.recipe.imatrix is None:
            return None
        from hychat.engine.imatrix import read_imatrix

        measure = partial(self._measure, full, self.recipe.imatrix)
        return self._once(self.recipe.imatrix_file(self.folder), measure, lambda path: read_imatrix(str(path)))

    def _measure(self, full: Path, wanted: "RecipeImatrix", target: Path) -> None:
        from hychat.conversion.imatrix import Reading, make_imatrix

        text = shared.text_at(self.recipe.folder / wanted.text)
        reading = Reading(text, most_chunks=wanted.chunks, gpu_layers=self.gpu_layers, threads=self.threads)
        step = _("Reading {text} with {model}").format(text=wanted.text, model=full.name)
        with shared.stoppable(self.output) as cancel:
            make_imatrix(full, reading, target, cancel, shared.progress(self.output, step))

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
        with shared.stoppable(self.output) as cancel:
            done = quantize(wanted, target, cancel, shared.progress(self.output, step))
        tell_remarks(self.output, done)


def _list(output: Output, *, as_json: bool) -> None:
    from hychat.cli.wrapping import width_of

    recipes = _known(output).sound
    if as_json:
        output.json([{"name": recipe.name, "title": recipe.title, "bytes": recipe.bytes} for recipe in recipes])
        return
    width = max((width_of(recipe.name) for recipe in recipes), default=0)
    output.text("\n".join(f"{recipe.name:<{width}}  {recipe.title}" for recipe in recipes))


app = typer.Typer(name="build", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Make a GGUF by a recipe: convert, measure, quantize."))(build)
