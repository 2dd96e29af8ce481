"""The keywords of JSON Schema: those that are obeyed, what each may hold, and the types they speak of."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from hychat.domain.errors import SchemaError
from hychat.messages import _

Schema = dict[str, Any]
"""A schema that is an object; `true` and `false` are schemas too."""

TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")
_KEYWORDS_OF_TYPE: Final = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "additionalItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
_ANNOTATIONS: Final = frozenset(
    {
        *("$schema", "$id", "$anchor", "$comment", "$defs", "definitions"),
        *("title", "description", "default", "example", "examples"),
        *("deprecated", "readOnly", "writeOnly", "contentEncoding", "contentMediaType"),
    }
)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_schema, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_type(value: Any) -> bool:
    return value in TYPES if isinstance(value, str) else isinstance(value, list) and bool(value) and _are_types(value)


def _are_types(values: list[Any]) -> bool:
    return all(isinstance(value, str) and value in TYPES for value in values)


_ALLOWED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "$ref": _is_text,
    "type": _is_type,
    "enum": lambda value: isinstance(value, list) and bool(value),
    "const": lambda _value: True,
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), _are_schemas),
    "properties": lambda value: isinstance(value, dict) and all(map(_is_schema, value.values())),
    "required": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "items": lambda value: _is_schema(value) or _are_schemas(value),
    **dict.fromkeys(("additionalProperties", "additionalItems"), _is_schema),
    **dict.fromkeys(("minItems", "maxItems", "minLength", "maxLength"), _is_count),
    **dict.fromkeys(("pattern", "format"), _is_text),
    **dict.fromkeys(_KEYWORDS_OF_TYPE["number"], _is_number),
}
"""The keywords that are obeyed, and what each may hold."""


def constraints_of(schema: Schema, path: str) -> Schema:
    """The keywords of a schema that constrain.

    Raises:
        SchemaError: A keyword would not be obeyed, or holds what JSON Schema does not allow.
    """
    for keyword, value in schema.items():
        if keyword in _ANNOTATIONS or keyword.startswith("x-"):
            continue
        if keyword not in _ALLOWED:
            sentence = _("{path}: the keyword `{keyword}` is not supported.").format(path=path, keyword=keyword)
            raise SchemaError(sentence, hint=_("Supported: {keywords}.").format(keywords=", ".join(_ALLOWED)))
        if not _ALLOWED[keyword](value):
            sentence = _("{path}: `{keyword}` holds what JSON Schema does not allow there.")
            raise SchemaError(sentence.format(path=path, keyword=keyword))
    return {keyword: value for keyword, value in schema.items() if keyword in _ALLOWED}


def types_of(schema: Schema) -> tuple[str, ...]:
    """The types that a schema allows: those it names, else those its keywords speak of, else all."""
    if "type" not in schema:
        spoken_of = tuple(kind for kind, keywords in _KEYWORDS_OF_TYPE.items() if schema.keys() & set(keywords))
        return spoken_of or tuple(kind for kind in TYPES if kind != "integer")
    named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return tuple(kind for kind in dict.fromkeys(named) if kind != "integer" or "number" not in named)


def type_of(value: Any) -> str:
    """The type of a JSON value; a whole number is an integer."""
    for kind, python_types in _PYTHON_TYPES.items():
        if isinstance(value, python_types):
            return kind
    return "integer" if isinstance(value, int) or value.is_integer() else "number"


_PYTHON_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "boolean": bool,
    "null": type(None),
    "string": str,
    "array": list,
    "object": dict,
}


def is_of_type(value: Any, schema: Schema) -> bool:
    """Whether the schema's `type` allows a value."""
    kind = type_of(value)
    types = types_of({"type": schema["type"]}) if "type" in schema else TYPES
    return kind in types or (kind == "integer" and "number" in types)
