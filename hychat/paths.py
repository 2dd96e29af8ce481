"""Where files live: the user's own, by the platform's custom, and those that come with hychat.

    config_file()               config.yaml
    user_catalogue_folder()     the user's own models, beside it
    user_themes_folder()        the user's own themes, beside it
    user_words_file()           the user's own phrases for the safety filter, beside it
    data_folder()               what cannot be made again
    history_file()              the conversations, in it
    blocked_file()              what the safety filter blocked, in it, where the user wants that kept
    cache_folder()              what can be made again
    states_folder()             KV caches of conversations, in it
    log_file()                  what the engine says

Nothing is created by asking; `private_folder` makes a folder when something is first written into it.
All raise ConfigError where they lie in the user's home folder, and nothing says where that is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hychat.domain.errors import ConfigError
from hychat.messages import _

if TYPE_CHECKING:
    from platformdirs import PlatformDirs

_PACKAGE: Final = Path(__file__).parent


def _user() -> "PlatformDirs":
    from platformdirs import PlatformDirs  # 3 ms

    return PlatformDirs("hychat", appauthor=False)


@contextmanager
def home_needed() -> Iterator[None]:
    """Tell what is missing where the user's home folder is asked for.

    Raises:
        ConfigError: Nothing says where it is, as in a container that runs as a user it does not know.
    """
    try:
        yield
    except RuntimeError as error:  # of pathlib and platformdirs
        raise ConfigError(
            _("Your home folder is not known: HOME is not set."), hint="export HOME=/path/to/folder"
        ) from error


@home_needed()
def config_file() -> Path:
    """The user's settings."""
    return _user().user_config_path / "config.yaml"


@home_needed()
def user_catalogue_folder() -> Path:
    """Catalogue files of the user's own."""
    return _user().user_config_path / "catalogue"


@home_needed()
def user_themes_folder() -> Path:
    """Themes of the user's own."""
    return _user().user_config_path / "themes"


@home_needed()
def user_words_file() -> Path:
    """Phrases of the user's own, for the safety filter."""
    return _user().user_config_path / "words.yaml"


def data_folder() -> Path:
    """What the user would miss."""
    return _user().user_data_path


def history_file() -> Path:
    """The conversations."""
    return data_folder() / "history.sqlite3"


def blocked_file() -> Path:
    """What the safety filter blocked."""
    return data_folder() / "blocked.jsonl"


@home_needed()
def cache_folder() -> Path:
    """What may be deleted at any time."""
    return _user().user_cache_path


def states_folder() -> Path:
    """KV caches of conversations, in the cache folder."""
    return cache_folder() / "states"


@home_needed()
def log_file() -> Path:
    """What llama.cpp and the engine's process say."""
    return _user().user_log_path / "engine.log"


def private_folder(path: Path) -> Path:
    """The folder itself, made for its owner alone (0700) where it is missing, and so are its parents.

    A folder that is there keeps the mode that its owner gave it.

    Raises:
        OSError: It cannot be made, or a file stands in its place.
    """
    if not path.parent.exists():
        private_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def bundled(kind: str) -> Path:
    """A folder that comes with hychat, such as `gguf/catalogue`: from the wheel, or from the checkout it runs in."""
    shipped = _PACKAGE / "_bundled" / kind
    if not shipped.exists() and (_PACKAGE.parent / "pyproject.toml").exists():
        return _PACKAGE.parent / kind
    return shipped
