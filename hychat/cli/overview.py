"""What `hychat --help` shows."""

from collections.abc import Mapping
from typing import Any

from hychat.cli.help import Row, Section, page, sections_of
from hychat.messages import _


def overview(question: Any, commands: Mapping[str, str]) -> str:
    """The question's options by what they are for, the commands with their meanings, and examples."""
    return page(
        [f"hychat {_('[OPTIONS]')} [{_('QUESTION')}...]", f"hychat {_('COMMAND')} ..."],
        _("Chat with Tencent Hunyuan models in the terminal, on this machine."),
        [
            *_with_own_options(sections_of(question.params)),
            Section(_("Commands"), [*commands.items()]),
            Section(_("Examples"), _examples()),
        ],
        [_exit_codes(), _settings()],
    )


def _with_own_options(sections: list[Section]) -> list[Section]:
    """The last section with the options that Typer brings."""
    *others, (heading, rows) = sections
    own: list[Row] = [
        ("-h, --help", _("Show this help; after a command's name, that command's.")),
        ("    --install-completion", _("Let this shell complete hychat's commands and options.")),
        ("    --show-completion", _("Print the script that does so.")),
    ]
    return [*others, Section(heading, [*rows, *own])]


def _examples() -> list[Row]:
    return [
        (_('hychat "why is the sky blue?"'), ""),
        (_('cat notes.txt | hychat "summarise in one sentence"'), ""),
        (_('hychat -f old.py -f new.py "what has changed?"'), ""),
        (_('hychat -c "and in Chinese?"'), ""),
        (_('hychat -x "a bash loop over all PNG files" > loop.sh'), ""),
        (_("hychat -- history of tea"), _("A question that begins with a command's name.")),
    ]


def _exit_codes() -> str:
    return _(
        "Exit codes: 0 answered, 1 failed while it ran, 2 typed wrong, 3 the model is not on this machine, 4 the model "
        "cannot be loaded, 5 the input is too long, 6 blocked by the safety filter, 130 interrupted."
    )


def _settings() -> str:
    return _(
        "An option wins over an environment variable (HYCHAT_MODEL, HYCHAT_STYLE, ...), that over the config file: "
        "hychat config show."
    )
