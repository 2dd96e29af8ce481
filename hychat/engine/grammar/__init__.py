"""Answers that follow a JSON schema: schema to grammar, and a check that keeps broken grammars away from llama.cpp."""

from hychat.engine.grammar.check import check_gbnf
from hychat.engine.grammar.document import load_schema
from hychat.engine.grammar.schema import grammar_of_schema

__all__ = ["check_gbnf", "grammar_of_schema", "load_schema"]
