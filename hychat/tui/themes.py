"""Themes: YAML, shipped and the user's own, as Textual's themes. Keys and variables are told in themes/README.md.

A file is named for its theme, so that one theme is found without reading the others. What a file gives are colours; here
they get Textual's names as well, so that its own widgets look like ours. A broken file is told, and never fatal.
"""

import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from textual.color import Color, ColorParseError
from textual.theme import Theme

from hychat.domain.errors import ConfigError, ThemeError
from hychat.messages import LANGUAGES, _, language
from hychat.paths import bundled, user_themes_folder

AUTO: Final = "auto"
DARK: Final = "night"
LIGHT: Final = "paper"
PLAIN: Final = "ansi"

_TERMINALS_OWN: Final = "ansi_"  # begins the names of the terminal's own colours
_LIGHT_BACKGROUNDS: Final = frozenset({"7", "15"})  # white and bright white
_LARGEST_BYTES: Final = 8 << 10  # also bounds the depth: libyaml's binding overflows the stack at some 20,000 brackets
_NAME: Final = re.compile(r"[\w-]+")  # Textual takes a comma for a list of names
_COLOURS: Final = (
    "background", "surface", "panel", "foreground", "primary", "secondary", "accent", "success", "warning", "error",
)  # fmt: skip
_MIXED: Final[Mapping[str, tuple[str, float]]] = {
    "muted": ("foreground", 0.35),
    "faint": ("foreground", 0.75),
    "selection": ("primary", 0.7),
}
"""Variables that are a colour mixed with the background, and the background's share, where a theme does not give them."""
_SAME: Final[Mapping[str, str]] = {
    "band": "surface",
    "bar": "primary",
    "heading": "primary",
    "link": "primary",
    "code-inline": "accent",
    "code-keyword": "primary",
    "code-string": "success",
    "code-number": "warning",
    "code-comment": "muted",
    "code-function": "accent",
    "code-type": "secondary",
}
"""Variables that are the same as another colour, where a theme does not give them."""
VARIABLES: Final = (*_MIXED, *_SAME)
"""What a theme may give beside its colours; every theme has them, so that a style sheet may name them."""
_TEXTUALS: Final[Mapping[str, str]] = {
    "text": "foreground",
    "text-muted": "muted",
    "text-disabled": "muted",
    "text-primary": "primary",
    "text-secondary": "secondary",
    "text-accent": "accent",
    "text-success": "success",
    "text-warning": "warning",
    "text-error": "error",
    "foreground-muted": "muted",
    "border": "primary",
    "border-blurred": "faint",
    "scrollbar": "faint",
    "scrollbar-hover": "muted",
    "scrollbar-active": "bar",
    "scrollbar-background": "background",
    "scrollbar-background-hover": "background",
    "scrollbar-background-active": "background",
    "scrollbar-corner-color": "background",
    "screen-selection-background": "selection",
    "screen-selection-foreground": "foreground",
    "input-selection-background": "selection",
    "input-selection-foreground": "foreground",
    "input-cursor-foreground": "foreground",
    "input-cursor-background": "background",
    "block-cursor-foreground": "primary",
    "block-cursor-background": "background",
    "ansi-foreground": "foreground",
    "ansi-background": "background",
}
"""Textual's variables that it would derive in its own way."""
_STYLES: Final[Mapping[str, str]] = {"input-cursor-text-style": "reverse", "block-cursor-text-style": "reverse"}
"""Cursors are reversed: that is readable in any of the terminal's own colours, and without any."""


@dataclass(frozen=True, slots=True)
class LoadedTheme:
    """A theme, and what people call it."""

    theme: Theme
    titles: Mapping[str, str]
    """By language."""

    @property
    def name(self) -> str:
        """What it is set by."""
        return self.theme.name

    @property
    def title(self) -> str:
        """Its name in the user's language."""
        return self.titles.get(language()) or self.titles.get("en") or self.name


@dataclass(frozen=True, slots=True)
class Themes:
    """All themes that could be read, and what was wrong with the others."""

    loaded: tuple[LoadedTheme, ...]
    failed: tuple[ThemeError, ...]


def load_themes() -> Themes:
    """Those that come with hychat, and the user's own, which win."""
    loaded: list[LoadedTheme] = []
    failed: list[ThemeError] = []
    for path in _files().values():
        try:
            loaded.append(_read(path))
        except ThemeError as error:
            failed.append(error)
    return Themes(tuple(loaded), tuple(failed))


def load_theme(name: str) -> LoadedTheme:
    """One theme; `auto` is that for this terminal.

    Raises:
        ThemeError: There is none of that name, or its file is broken.
    """
    wanted = name_for_terminal() if name == AUTO else name
    files = _files()
    if wanted in files:
        return _read(files[wanted])
    raise ThemeError(
        _("There is no theme {name}.").format(name=wanted),
        hint=_("There are: {names}").format(names=", ".join((AUTO, *files))),
    )


def shipped_theme() -> LoadedTheme:
    """That for this terminal as it comes with hychat, whatever the user's own files are like."""
    return _read(bundled("themes") / f"{name_for_terminal()}.yaml")


def name_for_terminal(environment: Mapping[str, str] = os.environ) -> str:
    """The theme for a terminal that says what its background is (COLORFGBG), else the dark one.

    NO_COLOR takes the terminal's own colours, as the others' are nothing without theirs.
    """
    if environment.get("NO_COLOR"):
        return PLAIN
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if background in _LIGHT_BACKGROUNDS else DARK


def default_variables(theme: Theme) -> dict[str, str]:
    """Our variables for a theme of Textual's own; one that was read has them already."""
    if "muted" in theme.variables:
        return {}
    derived = theme.to_color_system().generate()
    colours = _completed({}, {key: derived[key] for key in _COLOURS})
    return {name: colours[name] for name in VARIABLES}


def _files() -> dict[str, Path]:
    """Where each theme stands; the user's own take the places of those that come with hychat."""
    folders = [bundled("themes")]
    with suppress(ConfigError):  # nobody knows of a home folder
        folders.append(user_themes_folder())
    found = {path.stem: path for folder in folders for path in folder.glob("[!.]*.yaml") if path.is_file()}
    return dict(sorted(found.items()))


def _read(path: Path) -> LoadedTheme:
    """A theme file.

    Raises:
        ThemeError: It breaks the form; the error names file and key.
    """
    place = _Place(path)
    name = path.stem
    if not _NAME.fullmatch(name) or name == AUTO:
        place.refuse(_("a theme's file is named with letters, digits, - and _"))
    said = place.mapping(_parsed(place), ("title", "dark", "variables", *_COLOURS))
    colours = {key: place.at(key).colour(said.get(key)) for key in _COLOURS}
    inner = place.at("variables")
    given = inner.mapping(said.get("variables") or {}, VARIABLES)
    own = {key: inner.at(key).colour(value) for key, value in given.items()}
    theme = Theme(
        name,
        primary=colours["primary"],
        secondary=colours["secondary"],
        warning=colours["warning"],
        error=colours["error"],
        success=colours["success"],
        accent=colours["accent"],
        foreground=colours["foreground"],
        background=colours["background"],
        surface=colours["surface"],
        panel=colours["panel"],
        dark=place.at("dark").truth(said.get("dark")),
        ansi=colours["background"].startswith(_TERMINALS_OWN),
        variables=_variables(_completed(own, colours)),
    )
    return LoadedTheme(theme, place.at("title").titles(said.get("title")))


def _parsed(place: "_Place") -> Any:
    import yaml  # 8 ms

    try:
        with place.file.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            place.refuse(_("it is too large for a theme"))
        text = content.decode("utf-8-sig")
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe loaders
    except OSError as error:
        place.refuse(str(error.strerror or error))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date such as 2026-99-99 is a ValueError
        reason = " ".join(str(error).replace('in "<unicode string>", ', "").split())  # on one line
        place.refuse(_("not valid YAML: {reason}").format(reason=reason))


class _Place(NamedTuple):
    """Where a value stands, and the readers of values, which refuse it with the place and what was expected."""

    file: Path
    key: str = ""

    def at(self, key: str) -> "_Place":
        return _Place(self.file, f"{self.key}.{key}" if self.key else key)

    def refuse(self, expected: str) -> NoReturn:
        place = f"{self.file}: {self.key}" if self.key else str(self.file)
        raise ThemeError(
            _("The theme {place} cannot be used: {expected}.").format(place=place, expected=expected),
            hint=_("The README beside the themes tells the keys."),
        )

    def mapping(self, said: Any, known: Collection[str]) -> Mapping[str, Any]:
        if not isinstance(said, dict):
            self.refuse(_("lines of the form `key: value` expected"))
        for key in said:
            if key not in known:
                keys = ", ".join(known)
                self.at(str(key)).refuse(_("there is no such key; there are: {keys}").format(keys=keys))
        return said

    def colour(self, said: Any) -> str:
        try:
            colour = Color.parse(said if isinstance(said, str) else "")
        except ColorParseError:
            colour = None
        if colour is None or colour.a < 1:
            self.refuse(_('a colour such as "#7aaeff" or ansi_blue expected'))
        return colour.hex

    def truth(self, said: Any) -> bool:
        if not isinstance(said, bool):
            self.refuse(_("true or false expected"))
        return said

    def titles(self, said: Any) -> Mapping[str, str]:
        titles = {} if said is None else {"en": said} if isinstance(said, str) else self.mapping(said, LANGUAGES)
        for key, text in titles.items():
            if not isinstance(text, str) or not text.isprintable():
                self.at(key).refuse(_("a text on one line expected"))
        return titles


def _completed(own: Mapping[str, str], colours: Mapping[str, str]) -> dict[str, str]:
    """The colours with every variable of ours: as given, or derived from the colours."""
    full = {**colours, **own}
    for name, (front, share) in _MIXED.items():
        if name not in full:
            full[name] = _mixed(colours[front], colours["background"], share)
    for name, other in _SAME.items():
        full.setdefault(name, full[other])
    return full


def _mixed(front: str, back: str, share: float) -> str:
    """The terminal's own colours cannot be mixed: nobody knows what they look like."""
    if front.startswith(_TERMINALS_OWN) or back.startswith(_TERMINALS_OWN):
        return front
    return Color.parse(front).blend(Color.parse(back), share, alpha=1.0).hex


def _variables(colours: Mapping[str, str]) -> dict[str, str]:
    """The same with Textual's names as well."""
    return {**colours, **{name: colours[ours] for name, ours in _TEXTUALS.items()}, **_STYLES}
