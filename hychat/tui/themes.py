"""Themes: YAML, shipped and the user's own, as Textual's themes. Keys and variables are told in themes/README.md.

A file that is broken is told, and never fatal.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from textual.color import Color, ColorParseError
from textual.theme import Theme

from hychat.domain.errors import ThemeError
from hychat.messages import _, language
from hychat.paths import bundled, user_themes_folder

DARK: Final = "night"
LIGHT: Final = "paper"
AUTO: Final = "auto"
_ANSI: Final = "ansi_"
_LARGEST_BYTES: Final = 64 << 10
_COLOURS: Final = (
    "background", "surface", "panel", "foreground", "primary", "secondary", "accent", "success", "warning", "error",
)  # fmt: skip
_VARIABLES: Final[Mapping[str, str]] = {
    "band": "surface",
    "bar": "primary",
    "heading": "primary",
    "link": "primary",
    "code-inline": "accent",
    "code-keyword": "primary",
    "code-string": "success",
    "code-number": "warning",
    "code-function": "accent",
    "code-type": "secondary",
}
"""What a theme may set beside its colours, and the colour that stands in for it."""
_BLENDS: Final[Mapping[str, float]] = {"muted": 0.35, "faint": 0.75}
"""The same for shades between foreground and background: how far they lie towards the background."""
_COMMENT: Final = "code-comment"
_LIGHT_BACKGROUNDS: Final = frozenset({"7", "15"})


@dataclass(frozen=True, slots=True)
class LoadedTheme:
    """A theme, and what people call it."""

    theme: Theme
    titles: Mapping[str, str]

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
    loaded: dict[str, LoadedTheme] = {}
    failed: list[ThemeError] = []
    for path in _files((bundled("themes"), user_themes_folder())):
        try:
            theme = _read(path)
        except ThemeError as error:
            failed.append(error)
        else:
            loaded[theme.name] = theme
    return Themes(tuple(loaded.values()), tuple(failed))


def load_theme(name: str) -> LoadedTheme:
    """One theme, without reading the others where its file has its name.

    Raises:
        ThemeError: There is none of that name, or its file is broken.
    """
    wanted = name_for_terminal() if name == AUTO else name
    for folder in (user_themes_folder(), bundled("themes")):
        path = folder / f"{wanted}.yaml"
        if path.is_file() and path.parent == folder:
            return _read(path)
    themes = load_themes()
    for theme in themes.loaded:
        if theme.name == wanted:
            return theme
    names = ", ".join(theme.name for theme in themes.loaded)
    raise ThemeError(
        _("There is no theme {name}.").format(name=wanted), hint=_("There are: {names}").format(names=names)
    )


def name_for_terminal(environment: Mapping[str, str] = os.environ) -> str:
    """The theme for a terminal that says what its background is (COLORFGBG), else the dark one."""
    background = environment.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT if background in _LIGHT_BACKGROUNDS else DARK


def default_variables() -> dict[str, str]:
    """What stands in for our variables in themes that are not ours."""
    colours = dict.fromkeys(_COLOURS, "#808080")
    return _with_defaults({}, colours)


def _files(folders: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in folders:
        try:
            found += sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})
        except OSError:  # not there, or not ours to read
            continue
    return found


def _read(path: Path) -> LoadedTheme:
    """A theme file.

    Raises:
        ThemeError: It breaks the form; the error names file and key.
    """
    import yaml  # 8 ms

    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise _broken(path, "", _("it is too large for a theme"))
        document = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except OSError as error:
        raise _broken(path, "", str(error.strerror or error)) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise _broken(path, "", _("not valid YAML: {reason}").format(reason=reason)) from error
    return _theme_of(document, path)


def _theme_of(document: Any, path: Path) -> LoadedTheme:
    said = _mapping(document, {"name", "title", "dark", "variables", *_COLOURS}, path)
    colours = {key: _colour(said, key, path) for key in _COLOURS}
    own = _mapping(said.get("variables") or {}, {*_VARIABLES, *_BLENDS, _COMMENT}, path, "variables.")
    is_dark, name = said.get("dark", True), said.get("name", path.stem)
    if not isinstance(is_dark, bool):
        raise _broken(path, "dark", _("true or false expected"))
    if not isinstance(name, str) or not name.strip() or name == AUTO:
        raise _broken(path, "name", _("a name expected"))
    theme = Theme(name, **_arguments(colours))
    theme.dark, theme.ansi = is_dark, colours["background"].startswith(_ANSI)
    theme.variables = _with_defaults({key: _colour(own, key, path, "variables.") for key in own}, colours)
    return LoadedTheme(theme, _titles(said.get("title"), path))


def _mapping(said: Any, known: Collection[str], path: Path, place: str = "") -> Mapping[str, Any]:
    """A mapping of known keys.

    Raises:
        ThemeError: It is none, or has a key that is not known.
    """
    if not isinstance(said, dict):
        raise _broken(path, place.rstrip("."), _("lines of the form `key: value` expected"))
    for key in said:
        if key not in known:
            keys = ", ".join(sorted(known))
            raise _broken(path, f"{place}{key}", _("there is no such key; there are: {keys}").format(keys=keys))
    return said


def _arguments(colours: Mapping[str, str]) -> dict[str, Any]:
    return {**colours}


def _titles(said: Any, path: Path) -> Mapping[str, str]:
    if said is None:
        return {}
    titles = {"en": said} if isinstance(said, str) else said
    if not isinstance(titles, dict) or not all(isinstance(text, str) for text in titles.values()):
        raise _broken(path, "title", _("a text, or one for each language, expected"))
    return titles


def _colour(said: Mapping[str, Any], key: str, path: Path, place: str = "") -> str:
    text = said.get(key)
    try:
        Color.parse(text if isinstance(text, str) else "")
    except ColorParseError:
        expected = _('a colour such as "#7aaeff" or ansi_blue expected, not {value}').format(value=text)
        raise _broken(path, place + key, expected) from None
    return str(text)


def _with_defaults(said: Mapping[str, str], colours: Mapping[str, str]) -> dict[str, str]:
    variables = {name: colours[stand_in] for name, stand_in in _VARIABLES.items()}
    front, back = colours["foreground"], colours["background"]
    for name, share in _BLENDS.items():
        is_ansi = front.startswith(_ANSI) or back.startswith(_ANSI)
        variables[name] = "ansi_bright_black" if is_ansi else Color.parse(front).blend(Color.parse(back), share).hex
    variables |= said
    variables.setdefault(_COMMENT, variables["muted"])
    return variables | _widget_colours(variables, colours)


def _widget_colours(variables: Mapping[str, str], colours: Mapping[str, str]) -> dict[str, str]:
    """Textual's own names, for its widgets."""
    is_ansi = colours["background"].startswith(_ANSI)
    return {
        "ansi-background": colours["background"],
        "ansi-foreground": colours["foreground"],
        "screen-selection-background": "ansi_blue" if is_ansi else variables["faint"],
        "screen-selection-foreground": "ansi_bright_white" if is_ansi else colours["foreground"],
        "input-selection-background": "ansi_blue" if is_ansi else variables["faint"],
        "input-selection-foreground": "ansi_bright_white" if is_ansi else colours["foreground"],
        "scrollbar": variables["faint"],
        "scrollbar-hover": variables["muted"],
        "scrollbar-active": variables["bar"],
        "scrollbar-background": colours["background"],
        "scrollbar-background-hover": colours["background"],
        "scrollbar-background-active": colours["background"],
        "scrollbar-corner-color": colours["background"],
        "input-cursor-background": "ansi_blue" if is_ansi else colours["foreground"],
        "input-cursor-foreground": "ansi_bright_white" if is_ansi else colours["background"],
        "block-cursor-text-style": "none",
    }


def _broken(path: Path, key: str, expected: str) -> ThemeError:
    place = f"{path}: {key}" if key else str(path)
    return ThemeError(
        _("The theme {place} cannot be used: {expected}.").format(place=place, expected=expected),
        hint=_("The README beside the themes tells the keys."),
    )
