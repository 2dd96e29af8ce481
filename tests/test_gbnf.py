"""What llama.cpp can load passes; whatever would crash, hang or overflow it is refused, with its place."""

from contextlib import suppress
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hychat.domain.errors import SchemaError
from hychat.engine.grammar import check_gbnf
from hychat.engine.grammar.gbnf import CharacterClass, Item, Literal, Reference

GOOD_GRAMMARS: Final = [
    'root ::= "a"',
    'root::="a"|"b"\r\n\r\n# end',
    '# a list\nroot ::= ("- " item)+\nitem ::= [^\\n]+ "\\n"',
    'root ::= (\n  # first\n  "1. " move # one\n  | move\n)\nmove ::= [a-h] [1-8] [+#]?',
    'root ::= "a" |\n "b"',
    "root ::=\n a\na ::= [x]",
    'root ::= "\\x41\\u4e2d\\U0001F600\\n\\t\\r\\"\\\\\\[\\]\\-" . [a-] [-a] [\\]\\[^"] ["\\-]',
    'root ::= a{2} b{0,3} c{1,} ("x" "y"){ 2 , 3 }\na ::= "a"\nb ::= [b]\nc ::= .',
    'root ::= "line\nbreak" ""',
    "root ::= ",
    'root ::= | "a" |',
    'root ::= "(" root ")" |',
    'A-1 ::= "x"\nroot ::= A-1*',
    'root ::= "x"{2}{3} ("a" | ("b" ("c"))?)*'.replace("?)*", ")*"),
    "root ::= " + "(" * 50 + '"a"' + ")" * 50,
    'root ::= "a"{2000} [b]{0,2000}',
]
BAD_GRAMMARS: Final = [
    ("", "The grammar has no rule `root` to begin with."),
    ('a ::= "x"', "The grammar has no rule `root` to begin with."),
    ("a ::= root", "Line 1, column 7 of the grammar: there is no rule `root`."),
    ('root ::= "x"\n  (a | b)\n', "Line 2, column 3 of the grammar: the name of a rule is expected."),
    ("root ::= (a\n  | b)\na ::= .", "Line 2, column 5 of the grammar: there is no rule `b`."),
    ('root = "x"', "Line 1, column 6 of the grammar: `::=` is expected."),
    ('::= "x"', "Line 1, column 1 of the grammar: the name of a rule is expected."),
    ('my_rule ::= "x"', "Line 1, column 3 of the grammar: `::=` is expected."),
    ('root\n::= "a"', "Line 1, column 5 of the grammar: `::=` is expected."),
    ('root ::= "a"\n| "b"', "Line 2, column 1 of the grammar: the name of a rule is expected."),
    ("root ::= a a ::= .", "Line 1, column 14 of the grammar: unexpected `:`."),
    ('root ::= "a"\nroot ::= "b"', "Line 2, column 1 of the grammar: `root` is defined twice."),
    ("root ::= 中", "Line 1, column 10 of the grammar: unexpected `中`."),
    ("root ::= 'a'", "Line 1, column 10 of the grammar: unexpected `'`."),
    ('root ::= "a")', "Line 1, column 13 of the grammar: unexpected `)`."),
    ('root ::= ("a"', "Line 1, column 14 of the grammar: `)` is expected."),
    ('root ::= "abc', "Line 1, column 10 of the grammar: this is never closed."),
    ("root ::= [abc", "Line 1, column 10 of the grammar: this is never closed."),
    ("root ::= [a-", "Line 1, column 10 of the grammar: this is never closed."),
    ('root ::= "\\', "Line 1, column 11 of the grammar: no such escape."),
    ('root ::= "\\d"', "Line 1, column 11 of the grammar: no such escape."),
    ('root ::= "\\u12"', "Line 1, column 11 of the grammar: no such escape."),
    ('root ::= "\\U00110000"', "Line 1, column 11 of the grammar: no such escape."),
    ("root ::= []", "Line 1, column 10 of the grammar: an empty character class."),
    ("root ::= [^]", "Line 1, column 10 of the grammar: an empty character class."),
    ("root ::= [a-z9-0]", "Line 1, column 14 of the grammar: the range runs backwards."),
    ("root ::= *", "Line 1, column 10 of the grammar: there is nothing to repeat."),
    ('root ::= ""+', "Line 1, column 12 of the grammar: there is nothing to repeat."),
    ('root ::= "a"{0}*', "Line 1, column 16 of the grammar: there is nothing to repeat."),
    ('root ::= "a"{x}', "Line 1, column 14 of the grammar: a number is expected."),
    ('root ::= "a"{,3}', "Line 1, column 14 of the grammar: a number is expected."),
    ('root ::= "a"{2;3}', "Line 1, column 15 of the grammar: `}` is expected."),
    ('root ::= "a"{3,1}', "Line 1, column 13 of the grammar: the bounds are the wrong way round."),
    ('root ::= "a"{2001}', "Line 1, column 13 of the grammar: more than 2000 repetitions."),
    ('root ::= "a"{0,2001}', "Line 1, column 13 of the grammar: more than 2000 repetitions."),
    ('root ::= ("a"{0,50}){0,50}', "Line 1, column 21 of the grammar: more than 2000 repetitions."),
    ('root ::= "a"{50}{50}', "Line 1, column 17 of the grammar: more than 2000 repetitions."),
    (
        'root ::= "' + "a" * 1000 + '"{2000}',
        "Line 1, column 1018 of the grammar: with its repetitions it is too large.",
    ),
    ("root ::= <|im_end|>", "Line 1, column 10 of the grammar: tokens cannot be named."),
    ("root ::= !<[2]>", "Line 1, column 10 of the grammar: tokens cannot be named."),
    ('root ::= "a\0b"', "Line 1, column 12 of the grammar: not a character."),
    ('root ::= "\ud800"', "Line 1, column 11 of the grammar: not a character."),
    ("root ::= " + "(" * 51, "Line 1, column 60 of the grammar: more than 50 parentheses in one another."),
    ("#" * 400_001, "The grammar is longer than 400000 characters."),
    ('root ::= root "a"', "Grammar rule `root` begins with itself."),
    ('root ::= ("" | "x") (root "y")', "Grammar rule `root` begins with itself."),
    ('root ::= "y" a\na ::= b b a\nb ::= c c\nc ::= "y"?', "Grammar rule `a` begins with itself."),
    ('root ::= "x" ("a"?)*', "Grammar rule `root` repeats nothing for ever."),
    ('root ::= "a"**', "Grammar rule `root` repeats nothing for ever."),
    ("root ::= " + " | ".join(["[a]"] * 2001), "Grammar rule `root` has too many alternatives."),
    (
        "root ::= r0\n" + "".join(f"r{i} ::= r{i + 1} | r{i + 1}\n" for i in range(40)) + "r40 ::= .",
        "Grammar rule `r30` has too many alternatives.",
    ),
    (
        "root ::= r0\n" + "".join(f"r{i} ::= r{i + 1}\n" for i in range(501)) + "r501 ::= .",
        "Grammar rule `r1` is nested too deeply.",
    ),
    (
        "root ::= r600\n" + "".join(f"r{i + 1} ::= r{i}\n" for i in reversed(range(600))) + "r0 ::= ",
        "The grammar has too many rules that may be empty.",
    ),
]


@pytest.mark.parametrize("grammar", GOOD_GRAMMARS)
def test_a_grammar_that_llama_cpp_takes_passes(grammar: str) -> None:
    assert "root" in check_gbnf(grammar)


@pytest.mark.parametrize(("grammar", "message"), BAD_GRAMMARS)
def test_a_broken_grammar_is_refused_with_its_place(grammar: str, message: str) -> None:
    with pytest.raises(SchemaError) as caught:
        check_gbnf(grammar)
    assert caught.value.message == message


def test_the_root_may_have_another_name() -> None:
    assert check_gbnf('start ::= "a"', root="start") == {"start": ((Item(Literal("a")),),)}


def test_groups_and_repetitions_are_read_as_they_stand() -> None:
    assert check_gbnf('root ::= ("a" | [^b-d]){2,} .?') == {
        "root_1": ((Item(Literal("a")),), (Item(CharacterClass(((98, 100),), is_negated=True)),)),
        "root": ((Item(Reference("root_1"), 2, None), Item(CharacterClass((), is_negated=True), 0, 1)),),
    }


@settings(max_examples=300, derandomize=True)
@given(st.lists(st.sampled_from(["root", "::=", " ", "\n", *'ab"[]()|*+?{}0,2.^-\\#']), max_size=20).map("".join))
def test_any_text_is_a_grammar_or_refused(text: str) -> None:
    with suppress(SchemaError):
        check_gbnf("root ::= " + text)
