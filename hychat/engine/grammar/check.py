"""Keeps broken grammars away from llama.cpp.

llama.cpp answers a grammar it cannot take with a null pointer, which then crashes the process, and some it takes and
hangs: it finds no left recursion behind a rule that is empty by a detour, and follows every path through the rules anew.
Whatever passes here, loads.
"""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import chain, repeat
from typing import Final

from hychat.domain.errors import SchemaError
from hychat.engine.grammar.gbnf import CharacterClass, Item, Literal, Reference, Rule, Symbol, read_gbnf
from hychat.messages import _

MAX_CHAIN: Final = 500
"""Most rules that may begin with one another: llama.cpp follows them by recursion."""
MAX_BEGINNINGS: Final = 2000
"""Most places where the text of one rule may begin: llama.cpp tries each token at each of them, 0.4 ms a place."""


def check_gbnf(text: str, root: str = "root") -> dict[str, Rule]:
    """Check a grammar.

    Returns:
        Its rules by name, as `read_gbnf` gives them.

    Raises:
        SchemaError: llama.cpp could not load it, or would hang or overflow; the message says where.
    """
    rules = read_gbnf(text)
    if root not in rules:
        raise SchemaError(_("The grammar has no rule `{rule}` to begin with.").format(rule=root))
    _refuse_endless(rules)
    return rules


def _refuse_endless(rules: Mapping[str, Rule]) -> None:
    """Refuse rules that go on without having read a character, or that begin in too many ways."""
    empty = _empty_rules(rules)
    for name, rule in rules.items():
        if any(item.most is None and _may_be_empty(Item(item.symbol), empty) for item in chain.from_iterable(rule)):
            raise SchemaError(_("Grammar rule `{name}` repeats nothing for ever.").format(name=_shown(name)))
    begins_with = {name: [*_first_symbols(rule, empty)] for name, rule in rules.items()}
    depths: dict[str, int] = {}
    ways: dict[str, int] = {}
    for name, others in _inmost_first(begins_with):
        depths[name] = 1 + max((depths[other] for other in others), default=0)
        ways[name] = len(begins_with[name]) + sum(ways[other] for other in others)
        if depths[name] > MAX_CHAIN:
            raise SchemaError(_("Grammar rule `{name}` is nested too deeply.").format(name=_shown(name)))
        if ways[name] > MAX_BEGINNINGS:
            raise SchemaError(_("Grammar rule `{name}` has too many alternatives.").format(name=_shown(name)))


def _inmost_first(begins_with: Mapping[str, list[Symbol]]) -> Iterator[tuple[str, list[str]]]:
    """Each rule with those it may begin with, after them."""
    graph = {name: [s.rule for s in symbols if isinstance(s, Reference)] for name, symbols in begins_with.items()}
    try:
        for name in TopologicalSorter(graph).static_order():
            yield name, graph[name]
    except CycleError as error:
        name = _shown(error.args[1][0])
        raise SchemaError(_("Grammar rule `{name}` begins with itself.").format(name=name)) from None


def _empty_rules(rules: Mapping[str, Rule]) -> set[str]:
    """Rules that may stand for no text at all."""
    empty: set[str] = set()
    for _pass in range(MAX_CHAIN):
        before = len(empty)
        for name, rule in rules.items():
            if any(all(_may_be_empty(item, empty) for item in sequence) for sequence in rule):
                empty.add(name)
        if len(empty) == before:
            return empty
    raise SchemaError(_("The grammar has too many rules that may be empty."))


def _may_be_empty(item: Item, empty: set[str]) -> bool:
    match item.symbol:
        case Literal(text):
            return not text or not item.least
        case CharacterClass():
            return not item.least
        case Reference(rule):
            return rule in empty or not item.least


def _first_symbols(rule: Rule, empty: set[str]) -> Iterator[Symbol]:
    """The symbols that a rule may begin with, each as often as llama.cpp will look at it."""
    for sequence in rule:
        for item in sequence:
            times = (item.most or 1) if _may_be_empty(Item(item.symbol), empty) else 1
            yield from repeat(item.symbol, times)
            if not _may_be_empty(item, empty):
                break


def _shown(name: str) -> str:
    """The name the author gave: that of a group is ours."""
    return name.partition("_")[0]
