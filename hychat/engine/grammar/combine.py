"""Several schemas for one value: `$ref` with company and `allOf` made one, the branches of `oneOf` told apart."""

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, permutations, product
from typing import Any, Final

from hychat.domain.errors import SchemaError
from hychat.engine.grammar.document import MAX_PARTS, Document
from hychat.engine.grammar.keywords import TYPES, Schema, type_of, types_of
from hychat.messages import _

Combined = tuple[Schema, int]
"""The constraints, free of `$ref` and `allOf`, and the recursion depth that is left."""


class Combiner:
    """Makes one schema of several."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def combine(self, schema: Schema | bool, path: str, depth: int) -> Combined | None:
        """The constraints of a schema with `$ref` and `allOf` written out; None where they leave nothing."""
        if schema is False or depth < 0:
            return None
        if schema is True:
            return {}, depth
        said = self._document.constraints(schema, path)
        others = [(other, f"{path}/allOf/{index}") for index, other in enumerate(said.pop("allOf", []))]
        if pointer := said.pop("$ref", None):
            depth -= self._document.is_recursive(pointer, path)
            others.insert(0, (self._document.resolve(pointer, path), pointer))
        return self._fold((said, depth), others, path)

    def _fold(self, first: Combined, others: list[tuple[Schema | bool, str]], path: str) -> Combined | None:
        said, depth = first
        for other, other_path in others:
            added = self.combine(other, other_path, depth)
            both = merge(said, added[0], path) if added else None
            if not added or both is None:
                return None
            said, depth = both, added[1]
        return said, depth

    def are_exclusive(self, schemas: Iterable[Schema | bool], path: str) -> bool:
        """Whether it is plain that no answer of ours to one of the schemas satisfies another."""
        combined = [self.combine(schema, path, 1) for schema in schemas]
        possible = [schema for schema, _depth in filter(None, combined)]
        return all(self._rejects(one, other, path) for one, other in permutations(possible, 2))

    def _rejects(self, answered: Schema, schema: Schema, path: str) -> bool:
        """Whether it is plain that no answer of ours to the first satisfies the second."""
        shared = _answered_types(answered) & _allowed_types(schema)
        mine, theirs = _values(answered), _values(schema)
        if not shared or (mine is not None and theirs is not None and not any(value in theirs for value in mine)):
            return True
        return shared == {"object"} and (_lacks(answered, schema) or self._rejects_property(answered, schema, path))

    def _rejects_property(self, answered: Schema, schema: Schema, path: str) -> bool:
        mine, theirs = answered.get("properties", {}), schema.get("properties", {})
        always = [name for name in answered.get("required", ()) if name in mine and name in theirs]
        pairs = [[self.combine(side[name], path, 1) for side in (mine, theirs)] for name in always]
        return any(not one or not other or self._rejects(one[0], other[0], path) for one, other in pairs)


def _values(schema: Schema) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _answered_types(schema: Schema) -> set[str]:
    """Types that our answers have."""
    values = _values(schema)
    if values is None and "type" not in schema and _has_branches(schema):
        return _widened(TYPES)
    return _widened(types_of(schema) if values is None else map(type_of, values))


def _allowed_types(schema: Schema) -> set[str]:
    """Types that may satisfy the schema."""
    return _answered_types(schema) if _values(schema) is not None or "type" in schema else _widened(TYPES)


def _has_branches(schema: Schema) -> bool:
    return "anyOf" in schema or "oneOf" in schema


_WIDER: Final = {"integer": "number"}


def _widened(types: Iterable[str]) -> set[str]:
    return {_WIDER.get(kind, kind) for kind in types}


def _lacks(answered: Schema, schema: Schema) -> bool:
    """Whether answers to the first never have a property that the second requires."""
    names_all = "properties" in answered and answered.get("additionalProperties", False) is False
    present = {*answered.get("properties", ()), *answered.get("required", ())}
    return names_all and not _has_branches(answered) and not present.issuperset(schema.get("required", ()))


# Merging


def merge(one: Schema, other: Schema, path: str) -> Schema | None:
    """One schema for what both allow; None where that is nothing.

    Raises:
        SchemaError: Both have a keyword for which no common value can be written.
    """
    if _has_tuple(one, other) and _items(one) and _items(other) and not _is_same(_items(one), _items(other)):
        sentence = _("{path}: `allOf` holds two kinds of `items`, and they cannot be combined.")
        raise SchemaError(sentence.format(path=path))
    merged = one | other | _properties(one, other)
    for keyword in one.keys() & other.keys() - {"properties", "additionalProperties"}:
        if keyword in _MERGED:
            merged[keyword] = _MERGED[keyword](one[keyword], other[keyword])
        elif not _is_same(one[keyword], other[keyword]):
            sentence = _("{path}: `allOf` holds `{keyword}` twice, and they cannot be combined.")
            raise SchemaError(sentence.format(path=path, keyword=keyword))
    return None if [] in (merged.get("type"), merged.get("enum")) else merged


def _items(schema: Schema) -> Schema:
    return {keyword: schema[keyword] for keyword in ("items", "prefixItems", "additionalItems") if keyword in schema}


def _has_tuple(*schemas: Schema) -> bool:
    return any("prefixItems" in schema or isinstance(schema.get("items"), list) for schema in schemas)


def _properties(one: Schema, other: Schema) -> Schema:
    """Each property must satisfy what either side says of it, by name or under `additionalProperties`."""
    names = dict.fromkeys(chain(one.get("properties", ()), other.get("properties", ())))
    found: Schema = {}
    if names:
        found["properties"] = {name: _both(_property(one, name), _property(other, name)) for name in names}
    if "additionalProperties" in one and "additionalProperties" in other:
        found["additionalProperties"] = _both(one["additionalProperties"], other["additionalProperties"])
    return found


def _property(schema: Schema, name: str) -> Any:
    return schema.get("properties", {}).get(name, schema.get("additionalProperties", True))


def _both(one: Any, other: Any) -> Any:
    if one is True or _is_same(one, other):
        return other
    return one if other is True else {"allOf": [one, other]}


def _pairs(one: list[Any], other: list[Any]) -> list[Any]:
    if len(one) * len(other) > MAX_PARTS:
        raise SchemaError(_("The schema is too large: it has more than {most} parts.").format(most=MAX_PARTS))
    return [_both(option, choice) for option, choice in product(one, other)]


def _common_types(one: Any, other: Any) -> list[str]:
    mine, theirs = ({*types_of({"type": types})} for types in (one, other))
    return [kind for kind in TYPES if {kind, _WIDER.get(kind)} & mine and {kind, _WIDER.get(kind)} & theirs]


def _common_values(one: list[Any], other: list[Any]) -> list[Any]:
    return [value for value in one if any(_is_same(value, member) for member in other)]


def _is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are written alike; to Python, 1 equals True."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


_MERGED: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems"), min),
    "items": _both,
    "type": _common_types,
    "enum": _common_values,
    "required": lambda one, other: list(dict.fromkeys([*one, *other])),
    "anyOf": _pairs,
}
