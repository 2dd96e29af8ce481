"""Rendering a chat template that came with a downloaded file: it may compute what it likes, but not much of it.

Jinja2's sandbox keeps a template from the Python objects around it; it does not keep it from filling the memory or
running for ever. Here a meter does, on top of the sandbox:

- Every value that an expression makes is weighed as it is made: the characters of a string, and for a list or dict all
  that it would take to spell it out, so that a list which holds another twice weighs it twice. A value of more than
  `VALUE_LIMIT` ends the rendering, and so does a buffer (the output, a block, a macro) that grows beyond it.
- What is made, and each step of a loop, is taken from a budget of `BUDGET` units. No step takes longer than its values
  are large, so the clock, which is looked at with every payment, is never missed for long: `SECONDS` of processor time.
- Only operations whose result is bounded by what goes in are there, as listed below. The few that can multiply
  (`_MULTIPLYING`) are not begun when the product of all that goes in exceeds `VALUE_LIMIT`.

So memory is bounded by the budget (2 M characters or list places), time by the clock and one step more. What jinja2 and
Python do while they compile is bounded only by the length of the source (`SOURCE_LIMIT`); what is nested too deep for
them they refuse themselves.

This module imports jinja2 (about 40 ms), so it is imported where a template is to be compiled.
"""

import json
import math
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from threading import Lock
from time import thread_time
from typing import Any, Final, NoReturn, TypeVar

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, LoopControlExtension
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

T = TypeVar("T")

VALUE_LIMIT: Final = 1 << 18
BUDGET: Final = 1 << 21
SECONDS: Final = 1.0
SOURCE_LIMIT: Final = 1 << 16
"""Longest template, in characters; the longest published ones have 17,000."""

_METHODS: Final = """
    capitalize count endswith find get index isdigit items join keys lower lstrip removeprefix removesuffix replace
    rfind rsplit rstrip split splitlines startswith strip title upper values
"""
_ATTRIBUTES: Final = frozenset(_METHODS.split())
_FILTERS: Final = """
    abs capitalize count d default dictsort first float indent int items join last length list lower map max min
    reject rejectattr replace reverse round select selectattr sort string title trim unique upper
"""
_TESTS: Final = """
    != < <= == > >= boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable le
    lessthan lower lt mapping ne none number odd sameas sequence string true undefined upper
"""
_MULTIPLYING: Final = frozenset({"*", "indent", "join", "replace", "tojson"})
_TAKE, _STEPS, _TEXT = "#take", "#steps", "#text"  # filters; no name in Jinja starts so

_FAULTS: Final = (
    *(TemplateError, ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, NameError),
    *(RuntimeError, SyntaxError, TypeError, ValueError),
)
"""What a faulty template can raise, jinja2's own complaints among it."""


class TemplateFault(Exception):
    """A template cannot be compiled or rendered; `str()` says why, in the template's own words where it has any."""


class TemplateTooCostly(TemplateFault):
    """A template made too much or ran too long."""


class ChatTemplate:
    """A compiled template. It may be rendered from several threads; they take turns."""

    def __init__(self, source: str) -> None:
        """Compile the template.

        Raises:
            TemplateFault: It is no Jinja, or too long.
        """
        self._lock = Lock()
        self._environment = _Sandbox()
        with _faults_of_template():
            self._template = self._environment.compiled(source)

    def render(self, variables: Mapping[str, object]) -> str:
        """The text for these variables.

        Raises:
            TemplateFault: The template failed or complained.
            TemplateTooCostly: It reached a limit.
        """
        with self._lock, _faults_of_template():
            self._environment.meter = _Meter()
            return self._template.render(variables)


@contextmanager
def _faults_of_template() -> Iterator[None]:
    try:
        yield
    except _TooCostly as error:
        raise TemplateTooCostly(str(error)) from error
    except _FAULTS as error:
        raise TemplateFault(str(error) or type(error).__name__) from error


class _TooCostly(SecurityError):
    """A limit was reached."""


class _Meter:
    """What one rendering has left."""

    def __init__(self) -> None:
        self._budget = BUDGET
        self._until = thread_time() + SECONDS
        self._weights: dict[int, tuple[object, int]] = {}
        """Weights of lists and dicts by id. Nothing can change them here; they are held so that no id is used twice."""

    def pay(self, units: int = 1) -> None:
        self._budget -= units
        if self._budget < 0 or thread_time() > self._until:
            raise _TooCostly("it makes too much text or runs too long")

    def weigh(self, value: object) -> int:
        """What a value weighs; what is new about it is paid."""
        weight = self._weight(value)
        if weight > VALUE_LIMIT:
            raise _TooCostly("it makes too much text")
        self.pay(weight if isinstance(value, str) else 1)
        return weight

    def _weight(self, value: object) -> int:
        match value:
            case str() | bytes() | range():
                return 1 + len(value)
            case int():
                return 1 + value.bit_length()
            case list() | tuple() | dict():
                return self._weight_of_container(value)
            case _:
                return 1

    def _weight_of_container(self, value: list[object] | tuple[object, ...] | dict[object, object]) -> int:
        if id(value) not in self._weights:
            self.pay(1 + len(value))
            parts: Iterable[object] = (*value.keys(), *value.values()) if isinstance(value, dict) else value
            self._weights[id(value)] = (value, 1 + sum(map(self._weight, parts)))
        return self._weights[id(value)][1]

    def steps(self, values: Iterable[T]) -> Iterator[T]:
        """The same values, each step paid."""
        for value in values:
            self.pay()
            yield value


class _PlainNamespace(Namespace):
    """A namespace can hold itself; printed, it would not end."""

    def __repr__(self) -> str:
        return "namespace"


class _Generation(Extension):
    """`{% generation %}` marks what an assistant wrote, for training; its body is rendered as it stands."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja set up as chat templates expect it, with the meter in every joint."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[LoopControlExtension, _Generation],
            optimized=False,  # constant expressions too are computed while rendering
        )
        self.meter = _Meter()
        filters: dict[str, Callable[..., Any]] = {name: self.filters[name] for name in _FILTERS.split()}
        filters |= {"safe": str, "tojson": self._json}
        tests: Mapping[str, Any] = self.tests
        self.filters = {name: self._metered(name, function) for name, function in filters.items()}
        self.filters |= {_TAKE: self._take, _STEPS: self._steps, _TEXT: self._text}
        self.tests = {name: self._metered(name, tests[name]) for name in _TESTS.split()}
        self.globals = {
            "dict": dict,
            "namespace": _PlainNamespace,
            "raise_exception": _raise_exception,
            "range": range,
            "strftime_now": _strftime_now,
        }
        self.finalize = self._take

    def compiled(self, source: str) -> Template:
        """The template, metered."""
        if len(source) > SOURCE_LIMIT:
            raise SecurityError(f"it is longer than {SOURCE_LIMIT} characters")
        tree = self.parse(source)
        _put_meter_in(tree)
        tree.set_environment(self)
        return Template.from_code(self, self.compile(tree), self.globals)

    def concat(self, parts: Iterable[str]) -> str:
        """Every buffer, the output among them, is put together here."""
        room = VALUE_LIMIT
        held = []
        for part in parts:
            room -= len(part)
            if room < 0:
                raise _TooCostly("it makes too much text")
            held.append(part)
        self.meter.pay(VALUE_LIMIT - room)
        return "".join(held)

    def call(self, context: Context, called: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method, a macro or a global."""
        owner = getattr(called, "__self__", None)
        self._hold(getattr(called, "__name__", ""), (owner, *args, *kwargs.values()))
        return self._take(super().call(context, called, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute; powers and `%` on strings could make much of little."""
        if operator == "**" or (operator == "%" and isinstance(left, str | bytes)):
            raise SecurityError(f"{operator} is not offered here")
        is_arithmetic = isinstance(left, int | float) and isinstance(right, int | float)
        self._hold("" if is_arithmetic else operator, (left, right))
        return self._take(super().call_binop(context, operator, left, right))

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may look at this attribute; keys of a dict are no attributes."""
        is_known = attr in _ATTRIBUTES or isinstance(obj, LoopContext | Namespace)
        return is_known and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` is a method like any other, and not in the list: a width in it could make much of little."""

    def _metered(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)  # keeps the mark that says whether it wants the context
        def metered(*args: Any, **kwargs: Any) -> Any:
            self._hold(name, (*args, *kwargs.values()))
            return self._take(function(*args, **kwargs))

        return metered

    def _hold(self, name: str, operands: Iterable[object]) -> None:
        """Weigh what goes into an operation."""
        factors = [(self.meter.weigh(operand), abs(operand) if isinstance(operand, int) else 0) for operand in operands]
        if name in _MULTIPLYING and math.prod(map(max, factors)) > VALUE_LIMIT:
            raise _TooCostly("it makes too much text")

    def _take(self, value: Any) -> Any:
        """Weigh what comes out of an operation. What is lazy is made a list: one loop less that nobody counts."""
        if isinstance(value, Iterator | KeysView | ItemsView | ValuesView) and not isinstance(value, LoopContext):
            value = list(self.meter.steps(value))
        self.meter.weigh(value)
        return value

    def _steps(self, values: Iterable[T]) -> Iterator[T]:
        return self.meter.steps(values)

    def _text(self, values: Iterable[object]) -> str:
        return self.concat(str(self._take(value)) for value in values)

    def _json(
        self,
        value: object,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
        return self.concat(encoder.iterencode(value))


def _put_meter_in(node: nodes.Node) -> None:
    """Replace, in all that stands below the node, what makes values or loops by its metered form."""
    for field, value in node.iter_fields():
        if isinstance(value, nodes.Node):
            setattr(node, field, _metered_node(value))
        elif isinstance(value, list):
            setattr(node, field, [_metered_node(part) if isinstance(part, nodes.Node) else part for part in value])


def _metered_node(node: nodes.Node) -> nodes.Node:
    _put_meter_in(node)
    match node:
        case nodes.For(recursive=True):
            raise SecurityError("recursive loops are not offered here")
        case nodes.For():
            node.iter = _filtered(node.iter, _STEPS)
        case nodes.Compare() | nodes.Operand():
            node.expr = _filtered(node.expr, _TAKE)
        case nodes.Concat():
            return _filtered(nodes.List(node.nodes, lineno=node.lineno), _TEXT)
        case nodes.List() | nodes.Dict() | nodes.Getitem():
            return _filtered(node, _TAKE)
        case nodes.Tuple(ctx="load"):
            return _filtered(node, _TAKE)
        case _:
            pass
    return node


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
