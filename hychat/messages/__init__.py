"""What a user reads, in English and Simplified Chinese (gettext).

The msgid is the English sentence. `locale/<language>/LC_MESSAGES/hychat.po` holds the translations and `hychat.mo` their
compiled form; `make messages` writes both from the code. The language is chosen once, at start, by `choose_language`.
"""

import gettext
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

LANGUAGES: Final = ("en", "zh")
LOCALE_FOLDER: Final = Path(__file__).parent / "locale"
_FOLDER_OF_LANGUAGE: Final = {"en": "en", "zh": "zh_CN"}

_catalogue: gettext.NullTranslations = gettext.NullTranslations()
_language = "en"


def _(message: str) -> str:
    """The message in the chosen language; itself where the catalogue has none."""
    return _catalogue.gettext(message)


def ngettext(singular: str, plural: str, number: int) -> str:
    """The form of a counted message that fits the number."""
    return _catalogue.ngettext(singular, plural, number)


def listed(items: Iterable[str]) -> str:
    """Several names or facts in one sentence."""
    return _(", ").join(items)


def language() -> str:
    """The chosen language, `en` or `zh`."""
    return _language


def choose_language(tag: str) -> None:
    """Show messages in this language from now on."""
    global _catalogue, _language  # noqa: PLW0603 - one process speaks one language
    _language = tag if tag in LANGUAGES else "en"
    _catalogue = gettext.translation("hychat", LOCALE_FOLDER, languages=[_FOLDER_OF_LANGUAGE[_language]], fallback=True)


def language_of_locale(environment: Mapping[str, str] = os.environ) -> str:
    """`zh` for a Chinese locale, else `en`; the variables in the order POSIX gives them."""
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = environment.get(name, "")
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"
