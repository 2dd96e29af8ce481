"""A JSON schema, from the text that a user gives to a tree whose parts are found by pointer."""

import json
from collections.abc import Iterator
from typing import Any, Final, NoReturn
from urllib.parse import unquote

from hychat.domain.errors import InputUnreadable, SchemaError
from hychat.engine.grammar.keywords import Schema, constraints_of
from hychat.messages import _

MAX_FILE_BYTES: Final = 1_000_000
MAX_PARTS: Final = 50_000
"""Most parts of a schema, references and branches written out."""


def load_schema(argument: str) -> str:
    """The JSON text that `--schema` gives: itself where it begins with `{` or is `true`, else the file of that name.

    Raises:
        InputUnreadable: There is no such file, or it is not text.
        SchemaError: It is not JSON; the message names line and column.
    """
    is_inline = argument.lstrip().startswith("{") or argument.strip() == "true"
    text = argument if is_inline else _file_text(argument)
    parse_schema(text, "--schema" if is_inline else argument)
    return text


def _file_text(path: str) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - a pathlib.Path has nothing to add here
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        sentence = _("The schema `{path}` cannot be read: {reason}.").format(path=path, reason=reason)
        raise InputUnreadable(sentence, hint=_("Give a file, or JSON text that begins with `{`.")) from None
    if len(data) > MAX_FILE_BYTES:
        sentence = _("The schema `{path}` is larger than {most} bytes.")
        raise InputUnreadable(sentence.format(path=path, most=MAX_FILE_BYTES))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        sentence = _("The schema `{path}` is not UTF-8 text: see byte {position}.")
        raise InputUnreadable(sentence.format(path=path, position=error.start)) from None


def parse_schema(text: str, source: str = "--schema") -> Schema | bool:
    """The schema in a JSON text.

    Raises:
        SchemaError: It is not JSON, or no schema; the message names source, line and column.
    """
    try:
        schema = json.loads(text, parse_constant=_not_json, parse_float=_finite)
        json.dumps(schema, ensure_ascii=False).encode()  # refuses halves of surrogate pairs
    except json.JSONDecodeError as error:
        sentence = _("{source}, line {line}, column {column}: not JSON: {reason}.")
        facts = {"source": source, "line": error.lineno, "column": error.colno, "reason": error.msg}
        raise SchemaError(sentence.format(**facts)) from None
    except (ValueError, RecursionError) as error:  # numbers or nesting beyond all reason
        raise SchemaError(_("{source}: not JSON: {reason}.").format(source=source, reason=error)) from None
    if not isinstance(schema, dict | bool):
        raise SchemaError(_("{source}: a schema is a JSON object, `true` or `false`.").format(source=source))
    return schema


def _finite(digits: str) -> float:
    number = float(digits)
    return number if abs(number) != float("inf") else _not_json(digits)


def _not_json(text: str) -> NoReturn:
    raise ValueError(text)


class Document:
    """A whole schema, whose parts may refer to one another."""

    def __init__(self, root: Schema | bool) -> None:
        self._root = root
        self._parts = 0
        self._references: dict[str, frozenset[str]] = {}
        self._recursive: dict[str, bool] = {}

    def constraints(self, schema: Schema, path: str) -> Schema:
        """The keywords of a part that constrain, as `constraints_of` has them.

        Raises:
            SchemaError: Also where branches multiply beyond all measure.
        """
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise SchemaError(_("The schema is too large: it has more than {most} parts.").format(most=MAX_PARTS))
        return constraints_of(schema, path)

    def resolve(self, pointer: str, path: str) -> Schema | bool:
        """The schema that a `$ref` names: a JSON pointer (RFC 6901) in a fragment.

        Raises:
            SchemaError: It names nothing, or something outside the document.
        """
        if pointer != "#" and not pointer.startswith("#/"):
            raise SchemaError(
                _("{path}: `$ref` points to `{pointer}`, outside of the schema.").format(path=path, pointer=pointer),
                hint=_("Put it under `$defs` and point to `#/$defs/name`."),
            )
        found: Any = self._root
        for token in unquote(pointer).split("/")[1:]:
            found = _member(found, token.replace("~1", "/").replace("~0", "~"))
        if not isinstance(found, dict | bool):
            sentence = _("{path}: `$ref` points to `{pointer}`, where no schema is.")
            raise SchemaError(sentence.format(path=path, pointer=pointer))
        return found

    def is_recursive(self, pointer: str, path: str) -> bool:
        """Whether what a `$ref` names holds, by whatever detour, the same `$ref`."""
        if pointer not in self._recursive:
            found: set[str] = set()
            todo = {pointer}
            while todo:
                todo = {inner for outer in todo for inner in self._references_in(outer, path)} - found
                found |= todo
            self._recursive[pointer] = pointer in found
        return self._recursive[pointer]

    def _references_in(self, pointer: str, path: str) -> frozenset[str]:
        if pointer not in self._references:
            try:
                found = frozenset(_references_below(self.resolve(pointer, path)))
            except SchemaError:  # perhaps only an example; where it is used, it is refused
                found = frozenset()
            self._references[pointer] = found
        return self._references[pointer]


def _member(value: Any, token: str) -> Any:
    if isinstance(value, dict):
        return value.get(token)
    return value[int(token)] if isinstance(value, list) and token.isdecimal() and int(token) < len(value) else None


def _references_below(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and isinstance(value.get("$ref"), str):
        yield value["$ref"]
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _references_below(member)
