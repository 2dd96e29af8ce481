"""Schemas become grammars whose every text is JSON that follows the schema; broken grammars are refused."""

import json
import random
from collections.abc import Iterator
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hychat.domain.errors import SchemaError
from hychat.engine.grammar import check_gbnf, grammar_of_schema
from hychat.engine.grammar.gbnf import CharacterClass, Item, Literal, Reference, Rule, Symbol

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
    for _ in range(20):
        text = writer.text()
        assert judge.is_valid(json.loads(text)), text
