"""`hychat safety`: what the filter says of texts, how well it does on labelled ones, and what its lists hold."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hychat.cli.commands import Command, Group
from hychat.cli.jsonl import value_of
from hychat.cli.output import Output
from hychat.cli.stdin import piped_lines, read_stdin
from hychat.cli.wrapping import width_of
from hychat.config.load import load
from hychat.domain.choices import SafetyLevel
from hychat.domain.errors import Blocked, InputUnreadable, UsageError
from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.domain.text import readable
from hychat.messages import _
from hychat.paths import config_file, user_words_file

if TYPE_CHECKING:
    from hychat.safety.guard import Guard
    from hychat.safety.metrics import Figure, Metrics
    from hychat.safety.words import Tier

app = typer.Typer(
    name="safety",
    cls=Group,
    help=_("Ask the safety filter what it thinks of texts."),
    rich_markup_mode=None,
    add_completion=False,
)


class Kind(StrEnum):
    """What a text is."""

    PROMPT = "prompt"
    RESPONSE = "response"


class Level(StrEnum):
    """A level that filters."""

    STANDARD = "standard"
    STRICT = "strict"


_Text = Annotated[
    list[str] | None,
    typer.Argument(
        metavar=_("[TEXT]"), help=_("The text; without one, stdin is read."), parser=readable, show_default=False
    ),
]
_Jsonl = Annotated[
    bool,
    typer.Option(
        "--jsonl",
        help=_(
            'Read an object a line: {"text": …, "kind": "prompt" or "response", "prompt": …}; write a verdict a line.'
        ),
    ),
]
_Level = Annotated[Level, typer.Option("--level", help=_("How much the filter stops."), case_sensitive=False)]
_Kind = Annotated[Kind, typer.Option("--kind", help=_("What the text is."), case_sensitive=False)]
_Json = Annotated[bool, typer.Option("--json", help=_("Print JSON."))]
_File = Annotated[
    Path,
    typer.Argument(
        metavar=_("FILE"),
        help=_(
            'One object a line: {"text": …, "label": "safe" or "unsafe"}; kind, prompt, category and lang may follow.'
        ),
        show_default=False,
    ),
]
_UNSAFE: Final = "unsafe"
_LABELS: Final = ["safe", _UNSAFE]
_AT_ONCE: Final = 64
"""Rows; the encoder reads prompts of like length together."""
_Row = dict[str, Any]


@app.command(cls=Command, help=_("Say what the filter does with a text."))
def check(
    text: _Text = None,
    *,
    jsonl: _Jsonl = False,
    level: _Level = Level.STANDARD,
    kind: _Kind = Kind.PROMPT,
    as_json: _Json = False,
) -> int:
    """The exit code is 6 where the text is blocked; with `--jsonl` 0."""
    output = Output.of_process()
    with _guard(level) as guard:
        if jsonl:
            for _row, verdict in _judged(guard, _rows(_lines(text), kind)):
                output.json_line(_as_json(verdict))
            return 0
        [(_row, verdict)] = _judged(guard, [[{"text": _input(text), "kind": kind}]])
    if as_json:
        output.json(_as_json(verdict))
    else:
        output.text(_in_words(verdict))
    return Blocked.exit_code if verdict.action is SafetyAction.BLOCK else 0


@app.command("test", cls=Command, help=_("Measure the filter on labelled texts."))
def measure(file: _File, *, level: _Level = Level.STANDARD, as_json: _Json = False) -> None:
    """Recall, false positives, F1 and the area under the precision-recall curve; all, by category, by language."""
    from hychat.attach.text import read_file
    from hychat.safety.metrics import Judged, metrics_of

    output = Output.of_process()
    rows = [*_rows([read_file(file).attachment.text.split("\n")], Kind.PROMPT, is_labelled=True)]
    total = sum(map(len, rows))
    judged: dict[str, list[Judged]] = {"": []}
    with _guard(level) as guard:
        for number, (row, verdict) in enumerate(_judged(guard, rows), start=1):
            is_unsafe, is_flagged = row["label"] == _UNSAFE, verdict.action is not SafetyAction.ALLOW
            for group in _groups(row):
                judged.setdefault(group, []).append(Judged(is_unsafe, is_flagged, verdict.score))
            output.progress(_("Checking"), number, total)
    found = {group: metrics_of(each) for group, each in judged.items()}
    if as_json:
        output.json({group or "all": asdict(each) for group, each in found.items()})
    else:
        output.text("\n".join(_table(found)))


@app.command(cls=Command, help=_("Count what the word lists hold."))
def words(*, as_json: _Json = False) -> None:
    """By category and tier, the user's own among them."""
    from hychat.safety.words import load as load_words

    output = Output.of_process()
    counts = Counter((entry.category, entry.tier) for entry in load_words(user_words_file()).entries)
    if as_json:
        output.json(
            [{"category": category, "tier": tier, "phrases": n} for (category, tier), n in sorted(counts.items())]
        )
        return
    output.text("\n".join(_counted(counts)))
    output.note(_("Your own phrases: {path}").format(path=user_words_file()))


@contextmanager
def _guard(level: Level) -> "Iterator[Guard]":
    """As a chat of that level has it, less the file of what was blocked."""
    from hychat.runtime import Runtime

    config = replace(load(config_file(), os.environ), keep_blocked=False)
    with closing(Runtime(config)) as runtime:
        guard = runtime.guard(SafetyLevel(level))
        assert guard is not None  # noqa: S101 - no level here is off
        yield guard


def _input(text: Sequence[str] | None) -> str:
    """What was typed, else what is piped in. Raises UsageError where there is neither."""
    if text:
        return " ".join(text)
    part = read_stdin()
    if part is None:
        raise _nothing_to_check()
    return part.attachment.text


def _lines(text: Sequence[str] | None) -> Iterator[Sequence[str]]:
    """The lines of what was typed, else of what is piped in, as they come. Raises as `_input`."""
    if text:
        yield " ".join(text).split("\n")
        return
    is_empty = True
    for lines in piped_lines():
        is_empty = is_empty and not any(map(str.strip, lines))
        yield lines
    if is_empty:
        raise _nothing_to_check()


def _nothing_to_check() -> UsageError:
    return UsageError(_("There is no text to check."), hint='hychat safety check "…"')


def _rows(groups: Iterable[Sequence[str]], kind: Kind, *, is_labelled: bool = False) -> Iterator[Sequence[_Row]]:
    """The objects of lines, as many at a time as are judged together; fewer at the end, and where a group has no line.

    Raises:
        InputUnreadable: As `_row`; what came before is not lost.
    """
    some: list[_Row] = []
    numbers = count(1)
    try:
        for lines in groups:
            for line, number in zip(lines, numbers, strict=False):
                if line.strip():
                    some.append(_row(line, number, kind, is_labelled=is_labelled))
                if len(some) == _AT_ONCE:
                    yield some
                    some = []
            if not lines:  # none is waiting
                yield some
                some = []
    except InputUnreadable:
        yield some
        raise
    yield some


def _row(line: str, number: int, kind: Kind, *, is_labelled: bool) -> _Row:
    """The object of a line, of that kind where it does not say its own.

    Raises:
        InputUnreadable: It is none, has no text, or says of it what nobody knows.
    """
    try:
        row = value_of(line)
    except ValueError as error:
        raise InputUnreadable(_("Line {number} is not JSON: {reason}.").format(number=number, reason=error)) from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise InputUnreadable(_('Line {number} has no text under "text".').format(number=number))
    row = {"kind": kind, **row}
    for key, values in {"kind": [*Kind], **({"label": _LABELS} if is_labelled else {})}.items():
        if row.get(key) not in values:
            raise InputUnreadable(
                _('Line {number} must have one of these under "{key}": {values}.').format(
                    number=number, key=key, values=", ".join(values)
                )
            )
    return row


def _judged(guard: "Guard", rows: Iterable[Sequence[_Row]]) -> Iterator[tuple[_Row, SafetyVerdict]]:
    """Each row with what the filter says of it, in order; prompts are judged together."""
    for some in rows:
        prompts = iter(guard.prompts([row["text"] for row in some if row["kind"] != Kind.RESPONSE]))
        for row in some:
            is_response = row["kind"] == Kind.RESPONSE
            yield row, guard.reply(str(row.get("prompt") or ""), row["text"]) if is_response else next(prompts)


def _as_json(verdict: SafetyVerdict) -> dict[str, object]:
    from hychat.cli.reader import verdict_as_json

    return verdict_as_json(verdict)


def _counted(counts: "Mapping[tuple[str, Tier], int]") -> Iterator[str]:
    """By category and tier, then all."""
    from hychat.safety.telling import category_name

    names = {key: (category_name(key[0]), _action_name(SafetyAction(key[1]))) for key in counts}
    first, second = (max(map(width_of, column), default=0) for column in zip(*names.values(), strict=True))
    for key, n in sorted(counts.items()):
        category, tier = names[key]
        yield f"{_padded(category, first)} {_padded(tier, second)} {n:5}"
    yield f"{_padded(_('all'), first + 1 + second)} {sum(counts.values()):5}"


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - width_of(text))


def _action_name(action: SafetyAction) -> str:
    """In the user's language."""
    return {
        SafetyAction.ALLOW: _("allow"),
        SafetyAction.WARN: _("warn"),
        SafetyAction.SUPPORT: _("support"),
        SafetyAction.BLOCK: _("block"),
    }[action]


def _layer_name(layer: str) -> str:
    """In the user's language."""
    return {
        "words": _("words"),
        "net": _("net"),
        "encoder": _("encoder"),
        "guard": _("guard model"),
    }.get(layer, layer)


def _in_words(verdict: SafetyVerdict) -> str:
    from hychat.safety.telling import category_name

    if verdict.action is SafetyAction.ALLOW:
        return _action_name(verdict.action)
    facts = [_action_name(verdict.action), category_name(verdict.category), _layer_name(verdict.guard)]
    return "  ".join([*facts, f"“{verdict.reason}”"] if verdict.reason else facts)


def _groups(row: dict[str, Any]) -> Iterator[str]:
    yield ""
    for key in ("lang", "category"):
        if row.get(key):
            yield f"{key} {row[key]}"


def _table(found: "dict[str, Metrics]") -> Iterator[str]:
    yield f"{'':24} {'n':>6}  {'recall':18} {'FPR':18} {'F1':18} AUPRC"
    for group, each in sorted(found.items()):
        figures = (each.recall, each.false_positive_rate, each.f1, each.auprc)
        cells = "".join(f"{_cell(figure):19}" for figure in figures).rstrip()
        name = group or _("all")
        yield f"{name:24} {each.unsafe + each.safe:6}  {cells}"


def _cell(figure: "Figure | None") -> str:
    """In per cent, with the interval behind it."""
    return "-" if figure is None else f"{100 * figure.value:.1f} ({100 * figure.low:.1f}-{100 * figure.high:.1f})"
