"""Every command of the chat, once: the slash word, the key, the palette's entry and the line in the help are made from it.

A command works on the desk and yields what it wants from the face it was given in.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final, TypeVar

from hychat.attach.open import typed_path
from hychat.domain.choices import SafetyLevel, Style
from hychat.domain.errors import UsageError
from hychat.domain.generation import TEMPERATURE_RANGE
from hychat.domain.message import BEGINNING, Role, new_id, now
from hychat.messages import LANGUAGES, _, listed, ngettext
from hychat.tui import effects as do
from hychat.tui.desk import Desk
from hychat.tui.effects import Effect, Place
from hychat.tui.mentions import path_choices

_T = TypeVar("_T")
_NO_STYLE: Final = "none"
_ON: Final = frozenset({"on", "yes", "true", "1"})
_OFF: Final = frozenset({"off", "no", "false", "0"})
_TEMPERATURE_STEP: Final = 0.1
_CODE_BLOCK: Final = re.compile(
    r"^( {0,3})(`{3,}|~{3,})[^\n]*\n(.*?)(?:^ {0,3}\2[`~]*\s*$|\Z)", re.DOTALL | re.MULTILINE
)


class Group(Enum):
    """Where the help tells of a command."""

    CHAT = "chat"
    ANSWER = "answer"
    MODEL = "model"
    HYCHAT = "hychat"


@dataclass(frozen=True, slots=True)
class Command:
    """Something that the user can ask for by a word, a key or the palette."""

    name: str
    group: Group
    label: Callable[[], str]
    """What it does, in the user's language."""
    run: Callable[[Desk, str], Iterable[Effect]]
    key: str = ""
    """As Textual names keys."""
    aliases: tuple[str, ...] = ()
    argument: str = ""
    """What may follow the word, as the help shows it."""
    choices: Callable[[Desk], Iterable[str]] = lambda _desk: ()
    """What the argument may be, for completion."""
    about: Callable[[str], str] = lambda _choice: ""
    """What is said beside one of these."""
    takes_path: bool = False
    """Whether the argument is the path of a file that goes with the next question."""
    needs_idle: bool = False
    """Whether it has to wait until the answer is written."""


def group_title(group: Group) -> str:
    """What the help says above a group."""
    return {
        Group.CHAT: _("Chat"),
        Group.ANSWER: _("Answers"),
        Group.MODEL: _("Model"),
        Group.HYCHAT: "hychat",
    }[group]


# What they do


def _help(_desk: Desk, _argument: str) -> Iterator[Effect]:
    yield do.Go(Place.HELP)


def _exit(_desk: Desk, _argument: str) -> Iterator[Effect]:
    yield do.Leave()


def _new(desk: Desk, _argument: str) -> Iterator[Effect]:
    desk.open(None)
    yield do.ShowChat()


def _clear(desk: Desk, _argument: str) -> Iterator[Effect]:
    desk.stand_at(replace(desk.conversation, tip=BEGINNING))
    yield do.ShowChat()


def _chats(desk: Desk, argument: str) -> Iterator[Effect]:
    """Without an id, all of them."""
    if not argument:
        yield do.Go(Place.CHATS)
        return
    desk.open(desk.runtime.history().load(argument))
    yield do.ShowChat()


def _rename(desk: Desk, title: str) -> Iterator[Effect]:
    if not title:
        raise UsageError(_("Give the new title: /rename TITLE"))
    if desk.conversation.messages:
        desk.runtime.history().rename(desk.conversation.id, title)
    desk.session.conversation = replace(desk.conversation, title=title)
    yield do.Say(_("This chat is now called “{title}”.").format(title=title))


def _fork(desk: Desk, _argument: str) -> Iterator[Effect]:
    desk.open(replace(desk.conversation, id=new_id(), created=now()))
    yield do.Say(_("This is a copy of the chat; the first one stays as it was."))


def _export(desk: Desk, argument: str) -> Iterator[Effect]:
    from hychat.session.export import to_html, to_json, to_markdown

    path = Path(argument or f"hychat-{desk.conversation.id}.md").expanduser()
    write = {".json": to_json, ".html": to_html, ".htm": to_html}.get(path.suffix.lower(), to_markdown)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(write(desk.conversation))
    except FileExistsError as error:
        raise UsageError(_("{path} exists already.").format(path=path), hint=_("Give another name.")) from error
    except OSError as error:
        raise UsageError(
            _("{path} cannot be written: {reason}.").format(path=path, reason=error.strerror or error)
        ) from error
    yield do.Say(_("Written to {path}.").format(path=path.absolute()))


def _file(_desk: Desk, argument: str) -> Iterator[Effect]:
    if not argument:
        raise UsageError(_("Name the file: /file PATH"))
    yield do.Attach(typed_path(argument))


def _image(_desk: Desk, argument: str) -> Iterator[Effect]:
    """Without a path, what is in the clipboard."""
    yield do.Attach(typed_path(argument)) if argument else do.AttachClipboard()


def _voice(_desk: Desk, argument: str) -> Iterator[Effect]:
    """Without a path, from the microphone."""
    yield do.Attach(typed_path(argument)) if argument else do.Voice()


_OCR_TASKS: Final = {
    "text": "Extract the text in the image.",
    "where": "Detect and recognize text in the image, and output the text coordinates in a formatted manner.",
    "document": "Extract all information from the main body of the document image in Markdown, in reading order: tables as "
    "HTML, formulas as LaTeX, without headers and footers.",
    "fields": "Extract these fields from the image and return them as JSON: ",
}
"""What HunyuanOCR was trained to be asked, after its README (github.com/Tencent-Hunyuan/HunyuanOCR)."""


def _about_ocr_task(name: str) -> str:
    return {
        "text": _("the text alone"),
        "where": _("each text with the place where it stands"),
        "document": _("a whole page as Markdown, with its tables and formulas"),
        "fields": _("some fields as JSON; write their names at the end"),
    }.get(name, "")


def _ocr(_desk: Desk, argument: str) -> Iterator[Effect]:
    task = _OCR_TASKS.get(argument.lower() or "text")
    if task is None:
        raise UsageError(_("Choose one of {choices}.").format(choices=", ".join(_OCR_TASKS)))
    yield do.Draft(task)


def _again(desk: Desk, _argument: str) -> Iterator[Effect]:
    desk.last(Role.USER)
    yield do.Again()


def _continue(desk: Desk, _argument: str) -> Iterator[Effect]:
    desk.last(Role.ASSISTANT)
    yield do.GoOn()


def _edit(desk: Desk, argument: str) -> Iterator[Effect]:
    questions = [message for message in desk.branch if message.role is Role.USER]
    yield do.Change(_nth_from_end(questions, argument, _("There is no question yet.")))


def _undo(desk: Desk, _argument: str) -> Iterator[Effect]:
    desk.stand_at(desk.conversation.before(desk.last(Role.USER)))
    yield do.ShowChat()
    yield do.Say(_("The last question and its answer are left out from here on."))


def _now(_desk: Desk, _argument: str) -> Iterator[Effect]:
    yield do.AnswerNow()


def _compare(desk: Desk, argument: str) -> Iterator[Effect]:
    yield do.CompareNew(argument) if argument else do.Compare(desk.last(Role.USER).parts)


def _compact(desk: Desk, _argument: str) -> Iterator[Effect]:
    desk.last(Role.ASSISTANT)
    yield do.Compact()


def _copy(desk: Desk, argument: str) -> Iterator[Effect]:
    answers = [message for message in desk.branch if message.role is Role.ASSISTANT]
    yield do.Copy(_nth_from_end(answers, argument, _("There is no answer yet.")).text)


def _code(desk: Desk, argument: str) -> Iterator[Effect]:
    text = desk.last(Role.ASSISTANT).text
    blocks = [found[3] for found in _CODE_BLOCK.finditer(text)]
    yield do.Copy(_nth_from_end(blocks, argument, _("The last answer has no code.")))


def _nth_from_end(items: list[_T], argument: str, none: str) -> _T:
    """The last one, or the one that a number names, counted from the last.

    Raises:
        UsageError: There is none.
    """
    if not items:
        raise UsageError(none)
    number = int(argument) if argument.isascii() and argument.isdigit() else 1
    if argument and not 1 <= number <= len(items):
        raise UsageError(
            ngettext("There is {count}; 1 is the last.", "There are {count}; 1 is the last.", len(items)).format(
                count=len(items)
            )
        )
    return items[-number]


def _style(desk: Desk, argument: str) -> Iterator[Effect]:
    """Without an argument, the next one."""
    choices: list[Style | None] = [None, *Style]
    word = argument.lower()
    if not word:
        desk.session.style = choices[(choices.index(desk.session.style) + 1) % len(choices)]
    elif word == _NO_STYLE:
        desk.session.style = None
    elif word in [*Style]:
        desk.session.style = Style(word)
    else:
        raise UsageError(_("Choose one of {choices}.").format(choices=", ".join([*Style, _NO_STYLE])))
    yield do.Refresh()


def _safety(desk: Desk, argument: str) -> Iterator[Effect]:
    """Without an argument, the next level."""
    levels, word = [*SafetyLevel], argument.lower()
    if word and word not in levels:
        raise UsageError(_("Choose one of {choices}.").format(choices=", ".join(levels)))
    desk.switch_safety(SafetyLevel(word) if word else levels[(levels.index(desk.safety) + 1) % len(levels)])
    yield do.Refresh()


def _why(desk: Desk, _argument: str) -> Iterator[Effect]:
    from hychat.paths import user_words_file
    from hychat.safety.telling import why_text

    yield do.Say(why_text(desk.session.verdict, desk.safety, user_words_file()))


def _temperature(desk: Desk, argument: str) -> Iterator[Effect]:
    """Without an argument, a step warmer; behind the warmest the coolest."""
    low, high = TEMPERATURE_RANGE
    if argument:
        wanted = _number(argument)
        if not low <= wanted <= high:
            raise UsageError(_("The temperature goes from {low} to {high}.").format(low=low, high=high))
    else:
        wanted = round(desk.temperature + _TEMPERATURE_STEP, 2)
        wanted = low if wanted > high else wanted
    desk.session.settings = replace(desk.session.settings, temperature=wanted)
    yield do.Refresh()


def _cooler(desk: Desk, _argument: str) -> Iterator[Effect]:
    low, high = TEMPERATURE_RANGE
    wanted = round(desk.temperature - _TEMPERATURE_STEP, 2)
    desk.session.settings = replace(desk.session.settings, temperature=high if wanted < low else wanted)
    yield do.Refresh()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(_("{text} is no number.").format(text=text)) from None


def _think(desk: Desk, argument: str) -> Iterator[Effect]:
    word = argument.lower()
    if word and word not in _ON | _OFF:
        raise UsageError(_("Choose on or off."))
    wanted = word in _ON if word else not desk.session.settings.think
    desk.session.settings = replace(desk.session.settings, think=wanted)
    yield do.Say(
        _("The model may think before it answers, where it can.") if wanted else _("The model answers at once.")
    )
    yield do.Refresh()


def _set(desk: Desk, argument: str) -> Iterator[Effect]:
    """Any setting of the answers, until hychat ends."""
    from hychat.config.schema import key_named

    name, _space, value = argument.partition(" ")
    if not name or not value.strip():
        raise UsageError(_("Say what to set: /set KEY VALUE"))
    if name in _SHORTCUTS:
        yield from COMMANDS[name].run(desk, value.strip())
        return
    if name not in desk.generation_keys:
        raise UsageError(
            _("{key} cannot be set for one chat.").format(key=name),
            hint=_("These can: {keys}. All others: /settings").format(keys=", ".join(desk.generation_keys)),
        )
    key = key_named(name, "/set")
    desk.session.settings = replace(desk.session.settings, **{name: key.read(value.strip(), "/set")})
    yield do.Say(_("{key} is now {value}.").format(key=name, value=value.strip()))
    yield do.Refresh()


def _system(desk: Desk, argument: str) -> Iterator[Effect]:
    if not argument:
        yield do.Say(desk.conversation.system or _("The model was told nothing before the chat."))
        return
    desk.session.conversation = replace(desk.conversation, system="" if argument == _NO_STYLE else argument)
    yield do.Say(_("From the next answer on the model is told this before the chat."))


def _model(_desk: Desk, argument: str) -> Iterator[Effect]:
    yield do.SwitchModel(argument) if argument else do.Go(Place.MODELS)


def _lora(desk: Desk, argument: str) -> Iterator[Effect]:
    """Without an argument, those in use; `-NAME` takes one away."""
    from hychat.engine.adapters import adapter_of, with_adapter, without_adapter

    engine = desk.engine
    if argument.startswith("-"):
        name = argument[1:].strip()
        kept = without_adapter(engine.adapters, name)
        if len(kept) == len(engine.adapters):
            raise UsageError(_("There is no adapter {name} over the model.").format(name=name))
        engine.adapt(kept)
    elif argument == _NO_STYLE:
        engine.adapt(())
    elif argument:
        engine.adapt(with_adapter(engine.adapters, adapter_of(argument, engine.adapters)))
    told = listed(adapter.in_words() for adapter in engine.adapters)
    yield do.Say(_("Over the model: {adapters}.").format(adapters=told) if told else _("No adapter is over the model."))


def _experts(desk: Desk, _argument: str) -> Iterator[Effect]:
    desk.engine.watch_experts()
    yield do.Go(Place.EXPERTS)


def _context(desk: Desk, _argument: str) -> Iterator[Effect]:
    used, total = desk.context
    if not total:
        yield do.Say(_("The model is not loaded yet."))
        return
    yield do.Say(_("{used} of {total} tokens of the context are used.").format(used=f"{used:,}", total=f"{total:,}"))


def _stats(desk: Desk, _argument: str) -> Iterator[Effect]:
    receipt = desk.last(Role.ASSISTANT).receipt
    if receipt is None:
        raise UsageError(_("Nothing was measured for the last answer."))
    usage = receipt.usage
    yield do.Say(
        _(
            "{model}: read {prompt} tokens ({reused} of them were there already) at {prefill:.0f} tokens/s, "
            "wrote {generated} at {decode:.1f} tokens/s; the first came after {first:.2f} s; seed {seed}."
        ).format(
            model=receipt.model,
            prompt=usage.prompt_tokens,
            reused=usage.reused_tokens,
            prefill=usage.prefill_tokens_per_second,
            generated=usage.generated_tokens,
            decode=usage.decode_tokens_per_second,
            first=usage.first_token_seconds,
            seed=receipt.settings.seed,
        )
    )
    if not desk.is_busy and (where := desk.where):
        yield do.Say(where)


def _theme(_desk: Desk, argument: str) -> Iterator[Effect]:
    yield do.SwitchTheme(argument) if argument else do.Go(Place.THEMES)


def _language(_desk: Desk, argument: str) -> Iterator[Effect]:
    if argument and argument not in LANGUAGES:
        raise UsageError(_("Choose one of {choices}.").format(choices=", ".join(LANGUAGES)))
    yield do.SwitchLanguage(argument)


def _settings(_desk: Desk, _argument: str) -> Iterator[Effect]:
    yield do.Go(Place.SETTINGS)


def _styles(_desk: Desk) -> Iterable[str]:
    return (*Style, _NO_STYLE)


_ALL: Final = (
    Command("new", Group.CHAT, lambda: _("Begin a new chat"), _new, key="ctrl+n", needs_idle=True),
    Command("chats", Group.CHAT, lambda: _("All chats: search, open, rename, export, delete"), _chats, key="ctrl+r",
            aliases=("resume", "history"), argument="[ID]", needs_idle=True),
    Command("rename", Group.CHAT, lambda: _("Give this chat a title"), _rename, argument="TITLE"),
    Command("fork", Group.CHAT, lambda: _("Go on in a copy of this chat"), _fork, needs_idle=True),
    Command("export", Group.CHAT, lambda: _("Write this chat to a file: .md, .json or .html"), _export,
            aliases=("save",), argument="[FILE]"),
    Command("file", Group.CHAT, lambda: _("Put a file before the next question"), _file, aliases=("read",),
            argument="PATH", takes_path=True),
    Command("image", Group.CHAT, lambda: _("Put an image before it; without a path, the one in the clipboard"), _image,
            aliases=("attach",), argument="[PATH]", takes_path=True),
    Command("voice", Group.CHAT, lambda: _("Speak, or write a recording down; the words can be changed before they are sent"),
            _voice, argument="[PATH]", takes_path=True),
    Command("ocr", Group.CHAT, lambda: _("Ask what HunyuanOCR knows to do with an image"), _ocr, argument="[TASK]",
            choices=lambda _desk: _OCR_TASKS, about=_about_ocr_task),
    Command("clear", Group.CHAT, lambda: _("Forget what was said; the chat stays in the history"), _clear,
            needs_idle=True),
    Command("regen", Group.ANSWER, lambda: _("Answer the last question again"), _again, key="f5",
            aliases=("again", "regenerate", "retry"), needs_idle=True),
    Command("continue", Group.ANSWER, lambda: _("Continue an answer that was cut"), _continue, needs_idle=True),
    Command("edit", Group.ANSWER, lambda: _("Change the last question, or the nth from the end, and ask again"), _edit,
            argument="[N]", needs_idle=True),
    Command("undo", Group.ANSWER, lambda: _("Leave out the last question and its answer"), _undo, needs_idle=True),
    Command("compare", Group.ANSWER, lambda: _("Answer in all three styles, side by side"), _compare,
            argument="[QUESTION]", needs_idle=True),
    Command("compact", Group.CHAT, lambda: _("Go on from a summary, so that the context is free again"), _compact,
            needs_idle=True),
    Command("now", Group.ANSWER, lambda: _("End the thought and answer now"), _now, key="f6"),
    Command("copy", Group.ANSWER, lambda: _("Copy the last answer, or the nth from the end"), _copy, key="ctrl+y",
            argument="[N]"),
    Command("code", Group.ANSWER, lambda: _("Copy the last code block of the answer, or the nth from the end"), _code,
            argument="[N]"),
    Command("style", Group.MODEL, lambda: _("Manner of the answers; without a word, the next one"), _style, key="f3",
            argument="formal|casual|friendly|none", choices=_styles),
    Command("temperature", Group.MODEL, lambda: _("How freely words are chosen, 0.1 to 1.0; without a number, warmer"),
            _temperature, key="f4", aliases=("temp",), argument="NUMBER"),
    Command("cooler", Group.MODEL, lambda: _("Choose words less freely"), _cooler, key="shift+f4"),
    Command("model", Group.MODEL, lambda: _("Models: fetch one, or talk to another"), _model, key="f2",
            aliases=("models",), argument="[NAME]", choices=lambda desk: desk.model_names, needs_idle=True),
    Command("lora", Group.MODEL, lambda: _("LoRA adapters: add, change the scale, take away with -"), _lora,
            argument="[FILE[:SCALE]]", choices=lambda desk: desk.adapter_choices, needs_idle=True),
    Command("experts", Group.MODEL, lambda: _("Watch which experts a mixture chooses while it answers"), _experts),
    Command("think", Group.MODEL, lambda: _("Let the model think before it answers, where it can"), _think,
            argument="on|off", choices=lambda _desk: ("on", "off")),
    Command("safety", Group.MODEL, lambda: _("How much the safety filter stops; without a word, the next level"), _safety,
            argument="off|standard|strict", choices=lambda _desk: tuple(SafetyLevel)),
    Command("why", Group.ANSWER, lambda: _("What the safety filter found in the last question or answer"), _why),
    Command("system", Group.MODEL, lambda: _("What the model is told before the chat; none tells it nothing"), _system,
            argument="[TEXT]"),
    Command("set", Group.MODEL, lambda: _("Change any setting of the answers for this chat"), _set,
            argument="KEY VALUE", choices=lambda desk: desk.generation_keys),
    Command("context", Group.MODEL, lambda: _("How much of the context is used"), _context),
    Command("stats", Group.MODEL, lambda: _("Tokens and speed of the last answer"), _stats),
    Command("theme", Group.HYCHAT, lambda: _("Other colours"), _theme, key="f7", argument="[NAME]"),
    Command("lang", Group.HYCHAT, lambda: _("Speak English or Chinese"), _language, key="f8", aliases=("language",),
            argument="en|zh", choices=lambda _desk: LANGUAGES),
    Command("settings", Group.HYCHAT, lambda: _("All settings"), _settings, key="f9", aliases=("config",)),
    Command("help", Group.HYCHAT, lambda: _("Keys and commands"), _help, key="f1", aliases=("?",)),
    Command("exit", Group.HYCHAT, lambda: _("Leave hychat"), _exit, key="ctrl+q", aliases=("quit", "bye")),
)  # fmt: skip

COMMANDS: Final[Mapping[str, Command]] = {command.name: command for command in _ALL}
_SHORTCUTS: Final = frozenset({"style", "temperature", "think", "system", "theme", "model", "safety"})
_WORDS: Final[Mapping[str, Command]] = {word: command for command in _ALL for word in (command.name, *command.aliases)}
_LEAVING: Final = frozenset({"exit", "quit", ":q"})
"""Words that leave without a slash, as people type them out of habit."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A line that is a command."""

    command: Command
    argument: str


def read(text: str) -> Typed | str:
    """What was typed: a command, or words for the model, less the slash that keeps them from being a command.

    A path is words, though it begins with a slash.

    Raises:
        UsageError: It looks like a command, and there is none of that name.
    """
    line = text.strip()
    if line in _LEAVING:
        return Typed(COMMANDS["exit"], "")
    if not line.startswith(("/", "／")):
        return text
    if line[1:2] in {"/", "／"}:
        return text.replace(line[:2], line[0], 1)
    word, _space, argument = line[1:].partition(" ")
    command = _WORDS.get(word.lower())
    if command is not None:
        return Typed(command, argument.strip())
    if "\n" in line or _is_path(line):
        return text
    raise UsageError(_("There is no command /{word}.").format(word=word), hint=_nearest(word.lower()))


def _is_path(line: str) -> bool:
    first = line.split(maxsplit=1)[0]
    try:
        return Path(first).exists()
    except OSError:  # too long for a name
        return True


def _nearest(word: str) -> str:
    from difflib import get_close_matches  # only when something is wrong

    for near in get_close_matches(word, _WORDS, n=1):
        return _("Did you mean /{near}? To send a text that begins with a slash, write two.").format(near=near)
    return _("/help lists them. To send a text that begins with a slash, write two.")


def completions(text: str, desk: Desk) -> list[tuple[str, str]]:
    """What a line that begins with a slash may become, each with what it does."""
    line = text.replace("／", "/", 1)
    if not line.startswith("/") or line.startswith("//") or "\n" in line:
        return []
    word, space, argument = line[1:].partition(" ")
    if not space:
        found = [command for command in _ALL if _begins(command, word.lower())]
        found.sort(key=lambda command: not command.name.startswith(word.lower()))  # by their own names first
        return [(f"/{command.name}", command.label()) for command in found]
    command = _WORDS.get(word.lower())
    if command is None:
        return []
    if command.takes_path:
        typed = argument.lstrip(" \"'").replace("\\ ", " ")
        return [(f"/{word} {path}", "") for path in path_choices(typed) if path != typed]
    given = argument.strip().lower()
    choices = (choice for choice in command.choices(desk) if choice.startswith(given) and choice != given)
    return [(f"/{word} {choice}", command.about(choice)) for choice in choices]


def wants_path(text: str) -> bool:
    """Whether this is a command whose path is still to come."""
    word = text.strip().replace("／", "/", 1)
    command = _WORDS.get(word[1:].lower())
    return word.startswith("/") and command is not None and command.takes_path


def _begins(command: Command, word: str) -> bool:
    return any(name.startswith(word) for name in (command.name, *command.aliases))
