"""JSON schema to GBNF, so that each answer follows the schema and comes to an end.

Answers are a subset of what the schema allows, chosen so that small models find their way: one layout
(`{"a": [1, 2]}`), properties in the schema's order, and a bound on everything that could go on for ever. Recursion is
written out to `MAX_RECURSION` levels, so the grammar itself never recurs. Objects with `properties` have no others
unless `additionalProperties` says so. A `format` not in `strings.FORMATS` is an annotation, as JSON Schema has it.
"""

import json
from typing import Final

from hychat.domain.errors import SchemaError
from hychat.engine.grammar import numbers
from hychat.engine.grammar.characters import literal
from hychat.engine.grammar.check import check_gbnf
from hychat.engine.grammar.combine import Combiner
from hychat.engine.grammar.document import Document, parse_schema
from hychat.engine.grammar.gbnf import MAX_REPETITIONS
from hychat.engine.grammar.keywords import Schema, is_of_type, types_of
from hychat.engine.grammar.strings import FORMATS, fixed_text, free_string, other_key, pattern_string
from hychat.engine.grammar.writer import NOTHING, GrammarWriter
from hychat.messages import _

MAX_RECURSION: Final = 8
"""Most times that a schema may hold itself, and most levels of a value that the schema leaves open."""
DEFAULT_ITEMS: Final = 64
"""Most items of an array without `maxItems`."""
MAX_EXTRAS: Final = 32
"""Most properties that the schema does not name."""


def grammar_of_schema(schema_json: str) -> str:
    """The grammar of the answers that follow a JSON schema, given as JSON text.

    Raises:
        SchemaError: The text is no schema, nothing can satisfy it, or part of it would not be obeyed.
    """
    root = parse_schema(schema_json)
    converter = _Converter(Document(root))
    try:
        expression = converter.convert(root, "#", MAX_RECURSION)
    except RecursionError:
        raise SchemaError(_("The schema is nested too deeply.")) from None
    if expression is None:
        sentence = _("Nothing can satisfy the schema: see {path}.").format(path=converter.dead_end)
        raise SchemaError(sentence, hint=_("A required part may be `false`, contradict another or need itself."))
    grammar = converter.writer.text(expression)
    check_gbnf(grammar)
    return grammar


class _Converter:
    """Writes rules for schemas; each method gives an expression, or None where nothing satisfies the schema."""

    def __init__(self, document: Document) -> None:
        self.writer = GrammarWriter()
        self.dead_end = "#"
        self._combiner = Combiner(document)
        self._known: dict[tuple[str, int], str | None] = {}

    def convert(self, schema: Schema | bool, path: str, depth: int) -> str | None:
        """An expression for a schema that may hold itself `depth` times more."""
        combined = self._combiner.combine(schema, path, depth)
        if combined is None:
            return self._nothing(path)
        key = (json.dumps(combined[0]), combined[1])
        if key not in self._known:
            home = schema.get("$ref", path) if isinstance(schema, dict) else path
            self._known[key] = self._expression(*combined, home)
        return self._known[key]

    def _expression(self, said: Schema, depth: int, path: str) -> str | None:
        """The same for constraints without `$ref` and `allOf`."""
        for keyword in ("anyOf", "oneOf"):
            if keyword in said:
                return self._branches(said, keyword, path, depth)
        if "enum" in said or "const" in said:
            return self._values(said, path)
        if not said:
            depth -= 1  # a value that is left open may hold others
        return self._either("value", [self._of_type(kind, said, path, depth) for kind in types_of(said)])

    def _nothing(self, path: str) -> str | None:
        self.dead_end = path
        return None

    def _either(self, kind: str, options: list[str | None]) -> str | None:
        possible = [option for option in options if option is not None]
        return self.writer.either(kind, possible) if possible else None

    def _branches(self, said: Schema, keyword: str, path: str, depth: int) -> str | None:
        rest = {other: value for other, value in said.items() if other != keyword}
        branches = [{"allOf": [rest, branch]} if rest else branch for branch in said[keyword]]
        if keyword == "oneOf" and not self._combiner.are_exclusive(branches, path):
            sentence = _("{path}: an answer could fit several branches of `oneOf`.").format(path=path)
            raise SchemaError(sentence, hint=_("Use `anyOf`, or a required property with its own `const` in each."))
        options = [self.convert(branch, f"{path}/{keyword}/{i}", depth) for i, branch in enumerate(branches)]
        return self._either("branch", options)

    def _values(self, said: Schema, path: str) -> str | None:
        for keyword in said:
            if keyword not in {"enum", "const", "type"}:
                sentence = _("{path}: `{keyword}` beside `enum` or `const` is not supported.")
                raise SchemaError(sentence.format(path=path, keyword=keyword))
        values = [value for value in said.get("enum", [said.get("const")]) if is_of_type(value, said)]
        texts = [json.dumps(value, ensure_ascii=False) for value in values]
        if "const" in said:
            texts = [text for text in texts if text == json.dumps(said["const"], ensure_ascii=False)]
        return fixed_text(texts, self.writer) if texts else self._nothing(path)

    def _of_type(self, kind: str, said: Schema, path: str, depth: int) -> str | None:
        match kind:
            case "object":
                return self._object(said, path, depth)
            case "array":
                return self._array(said, path, depth)
            case "string":
                return self._string(said, path)
            case "number" | "integer":
                return self._number(said, path, is_whole=kind == "integer")
            case "boolean":
                return self.writer.rule("boolean", '"true" | "false"')
            case _:
                return literal("null")

    # Objects

    def _object(self, said: Schema, path: str, depth: int) -> str | None:
        properties = said.get("properties", {})
        required = said.get("required", [])
        others = said.get("additionalProperties", True)
        members: list[tuple[str, bool]] = []
        for name in dict.fromkeys([*properties, *required]):
            value = self.convert(properties.get(name, others), f"{path}/properties/{name}", depth)
            if value is not None:
                members.append((f"{literal(json.dumps(name, ensure_ascii=False) + ': ')} {value}", name in required))
            elif name in required:
                return None
        extra = None
        if "additionalProperties" in said or "properties" not in said:
            value = self.convert(others, f"{path}/additionalProperties", depth)
            extra = value and f'{other_key({*properties, *required}, self.writer)} ": " {value}'
        return self.writer.rule("object", f'"{{" {self._members(members, extra)} "}}"')

    def _members(self, members: list[tuple[str, bool]], extra: str | None) -> str:
        """The inside of an object, built from its end: `rest` is what may follow, commas first."""
        beginnings, rest = [NOTHING], NOTHING
        if extra:
            more = self.writer.rule("member", f'", " {extra}')
            beginnings.append(f"{extra} {more}{{0,{MAX_EXTRAS - 1}}}")
            rest = f"{more}{{0,{MAX_EXTRAS}}}"
        for member, is_required in reversed(members):
            beginning = f"{member} {rest}"
            beginnings = [beginning] if is_required else [beginning, *beginnings]
            following = self.writer.rule("member", f'", " {member}')
            rest = self.writer.rule("rest", f"{following}{'' if is_required else '?'} {rest}")
        return self.writer.either("members", beginnings)

    # Arrays

    def _array(self, said: Schema, path: str, depth: int) -> str | None:
        is_old_tuple = isinstance(said.get("items"), list)  # before the 2020-12 draft
        prefix = said["items"] if is_old_tuple else said.get("prefixItems", [])
        others = said.get("additionalItems" if is_old_tuple else "items", not prefix)
        least, most = _counts(said, "minItems", "maxItems", path)
        most = max(least, len(prefix), DEFAULT_ITEMS) if most is None else most
        items: list[str] = []
        for index, schema in enumerate(prefix[:most]):
            item = self.convert(schema, f"{path}/prefixItems/{index}", depth)
            if item is None:
                most = index
                break
            items.append(item)
        rest = self.convert(others, f"{path}/items", depth) if most > len(items) else None
        if rest is None and least > len(items):
            return self._nothing(path)
        return self.writer.rule("array", f'"[" {self._items(items, rest, least, most)} "]"')

    def _items(self, items: list[str], rest: str | None, least: int, most: int) -> str:
        """The inside of an array: the items that have a schema of their own, then the others."""
        written = ' ", " '.join(items)
        if rest is None:
            return written or NOTHING
        more = self.writer.rule("item", f'", " {rest}')
        least, most = max(least - len(items), 0), most - len(items)
        if items:
            return f"{written} {more}{{{least},{most}}}"
        some = f"{rest} {more}{{{max(least - 1, 0)},{most - 1}}}"
        return some if least else self.writer.either("items", [NOTHING, some])

    # Strings and numbers

    def _string(self, said: Schema, path: str) -> str:
        least, most = _counts(said, "minLength", "maxLength", path)
        pattern, form = said.get("pattern"), FORMATS.get(said.get("format", ""))
        if pattern is not None and form is not None:
            raise SchemaError(_("{path}: `pattern` beside `format` is not supported.").format(path=path))
        if pattern is None and form is None:
            return free_string(least, most, self.writer)
        return pattern_string(pattern or form or "", least, most, self.writer, path)

    def _number(self, said: Schema, path: str, *, is_whole: bool) -> str:
        options = numbers.integers(said) if is_whole else numbers.decimals(said)
        if not options:
            sentence = _("{path}: no number that can be written lies between `minimum` and `maximum`.")
            raise SchemaError(sentence.format(path=path))
        return self.writer.either("number", options)


def _counts(said: Schema, at_least: str, at_most: str, path: str) -> tuple[int, int | None]:
    """The bounds of a length; an upper one beyond what llama.cpp takes is lowered."""
    least = int(said.get(at_least, 0))
    most = min(int(said[at_most]), MAX_REPETITIONS) if at_most in said else None
    if least > MAX_REPETITIONS:
        sentence = _("{path}: `{keyword}` cannot be more than {most}.")
        raise SchemaError(sentence.format(path=path, keyword=at_least, most=MAX_REPETITIONS))
    if most is not None and most < least:
        sentence = _("{path}: `{at_least}` is more than `{at_most}`.")
        raise SchemaError(sentence.format(path=path, at_least=at_least, at_most=at_most))
    return least, most
