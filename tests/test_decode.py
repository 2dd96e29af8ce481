"""The decode loop: what a seed gives, what the KV cache keeps, and how answers end."""

from collections.abc import Iterator
from math import dist, hypot

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hychat.engine import wire
from hychat.engine.llama import scheduler
from hychat.engine.llama.bindings import lib
from hychat.engine.llama.context import Context
from hychat.engine.llama.detokenizer import Detokenizer
from hychat.engine.llama.loops import LONGEST_PERIOD_TOKENS, LoopDetector
from hychat.engine.llama.model import Model
from hychat.engine.prompt.segments import control, plain
from tests.desk import GREEDY, WARM, WILD, Desk, chatml

STORY = chatml("Tell me a long story about a dragon and a village.")
OTHER_STORY = chatml("Write about the sea, the wind and a lighthouse.")
CAPITAL = chatml("What is the capital of France?")
OTHER_CAPITALS = [chatml(f"What is the capital of {country}?") for country in ("Italy", "Japan")]
"""Rounding differs with what else is in a batch; here the likeliest token is far ahead of all others each time."""
WRITTEN_CHARACTERS = st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cc"]) | st.sampled_from("😀🎉👩𝔘🀄")
"""The starter's vocabulary lacks the bytes of some that nobody writes."""
LONG_SYSTEM = "You are a careful assistant who answers in full sentences and never guesses. " * 6


@pytest.fixture
def desk(starter_model: Model) -> Iterator[Desk]:
    made = Desk(starter_model)
    yield made
    made.close()


@pytest.fixture
def tiny_desk(tiny_model: Model) -> Iterator[Desk]:
    made = Desk(tiny_model)
    yield made
    made.close()


# Seeds


def test_a_seed_gives_the_same_answer_again(starter_model: Model) -> None:
    assert Desk(starter_model).answer(STORY) == Desk(starter_model).answer(STORY, WARM)


def test_another_seed_gives_another_answer(desk: Desk) -> None:
    assert desk.answer(STORY) != desk.answer(STORY, WARM._replace(seed=2))


def test_the_thread_count_changes_no_letter(starter_model: Model) -> None:
    few = WARM._replace(max_tokens=5)
    assert Desk(starter_model, threads=1).answer(STORY, few) == Desk(starter_model, threads=2).answer(STORY, few)


def test_the_likeliest_tokens_answer_a_simple_question(desk: Desk) -> None:
    assert "Paris" in desk.answer(CAPITAL, GREEDY)


def test_answers_written_together_are_those_written_one_after_the_other(starter_model: Model, desk: Desk) -> None:
    prompts = (CAPITAL, *OTHER_CAPITALS)
    alone = [Desk(starter_model).answer(prompt, GREEDY) for prompt in prompts]
    numbers = [desk.ask(prompt, GREEDY) for prompt in prompts]
    desk.work()
    assert [desk.text(number) for number in numbers] == alone


def test_a_prompt_that_is_read_beside_an_answer_changes_neither(
    starter_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounding differs with what else is in a batch, so this asks for few tokens, each far ahead of all others."""
    monkeypatch.setattr(scheduler, "BATCH_TOKENS", 64)
    chunks, few = chatml("Say hello.", system=LONG_SYSTEM), GREEDY._replace(max_tokens=3)
    alone = Desk(starter_model).answer(CAPITAL, GREEDY), Desk(starter_model).answer(chunks, few)
    desk = Desk(starter_model)
    writing = desk.ask(CAPITAL, GREEDY)
    desk.work(steps=3)
    reading = desk.ask(chunks, few)
    desk.work()
    assert len(desk.progress(reading)) > 1
    assert (desk.text(writing), desk.text(reading)) == alone


# What the cache keeps


def test_a_second_turn_reads_only_what_is_new(starter_model: Model, desk: Desk) -> None:
    first = desk.ask(CAPITAL, GREEDY)
    desk.work()
    second = desk.ask(chatml("What is the capital of France?", desk.text(first), "And of Italy?"), GREEDY)
    desk.work()
    asked = len(
        starter_model.tokenize([("<|im_end|>\n", True), ("<|im_start|>user\n", True), ("And of Italy?", False)])
    )
    asked += len(starter_model.tokenize([("<|im_end|>\n", True), ("<|im_start|>assistant\n", True)]))
    prompt, reused, _generated = desk.tokens(second)
    assert reused == sum(desk.tokens(first)[::2])
    assert prompt - reused == asked


def test_an_answer_keeps_the_tokens_it_was_written_with(starter_model: Model, desk: Desk) -> None:
    for seed in range(20):
        first = desk.ask(CAPITAL, WILD._replace(seed=seed))
        desk.work()
        answer = desk.text(first)
        prompt, _reused, generated = desk.tokens(first)
        written = len(starter_model.tokenize([(answer, False)]))
        if generated != written:  # the text alone would be read as other tokens
            break
    second = desk.ask(chatml("What is the capital of France?", answer, "Go on."), GREEDY._replace(max_tokens=1))
    desk.work()
    assert generated != written
    assert desk.tokens(second)[1] == prompt + generated - (desk.done(first).stop == "length")


def test_the_same_question_again_reads_one_token(desk: Desk) -> None:
    desk.answer(CAPITAL)
    again = desk.ask(CAPITAL)
    desk.work()
    prompt, reused, _generated = desk.tokens(again)
    assert prompt - reused == 1  # its logits are needed


def test_another_chat_leaves_the_cache_of_the_first_alone(desk: Desk) -> None:
    first = desk.ask(chatml("My name is Ada.", system=LONG_SYSTEM), GREEDY)
    desk.work()
    other = desk.ask(chatml("What is rain?", system=LONG_SYSTEM), GREEDY)
    desk.work()
    on = chatml("My name is Ada.", desk.text(first), "Who am I?", system=LONG_SYSTEM)
    second = desk.ask(on, GREEDY)
    desk.work()
    shared = desk.tokens(other)[1]
    assert shared > len(LONG_SYSTEM) / 8  # the system text is read once
    assert desk.tokens(second)[1] >= desk.tokens(first)[0]


def test_what_was_shared_gives_the_logits_that_reading_gives(starter_model: Model, desk: Desk) -> None:
    """Nearly: llama.cpp rounds otherwise in batches of other sizes. Another question's are ten times as far away."""
    first_token = GREEDY._replace(max_tokens=1)
    italy = chatml("What is the capital of Italy?", system=LONG_SYSTEM)
    desk.answer(chatml("What is the capital of France?", system=LONG_SYSTEM), GREEDY)
    shared = desk.ask(italy, first_token)
    desk.work()
    alone = Desk(starter_model)
    alone.answer(italy, first_token)
    assert desk.tokens(shared)[1] > 0
    assert dist(desk.logits(), alone.logits()) < 0.04 * hypot(*alone.logits())


def test_an_answer_without_text_is_not_remembered(desk: Desk) -> None:
    desk.answer((*CAPITAL, control("The capital of France is Paris."), control("<|im_end|>")), GREEDY)
    assert "" not in desk.scheduler._tokens_of_answer


def test_a_memory_that_cannot_be_cut_is_read_again(starter_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recurrent models keep one state a sequence, which knows no position to go back to."""
    prompts = (CAPITAL, OTHER_CAPITALS[0], CAPITAL)
    expected = [Desk(starter_model).answer(prompt, GREEDY) for prompt in prompts]
    monkeypatch.setattr(Model, "keeps_every_position", False)
    monkeypatch.setattr(Context, "forget", lambda _context, _sequence, _start: False)
    desk = Desk(starter_model)
    numbers = []
    for prompt in prompts:
        numbers.append(desk.ask(prompt, GREEDY))
        desk.work(steps=4)
        desk.scheduler.interrupt()
        desk.scheduler.step()  # aborted
        desk.work()
    assert [desk.text(number) for number in numbers] == expected
    assert [desk.tokens(number)[1] for number in numbers] == [0, 0, 0]


# The context's size


def test_a_context_is_as_large_as_the_request_needs_it(desk: Desk) -> None:
    desk.answer(CAPITAL, GREEDY)
    assert desk.context_tokens == 256


def test_a_context_that_grows_in_an_answer_changes_no_letter(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = chatml("x" * 150)
    large = Desk(tiny_model)
    large.scheduler._cache.reserve(2048)
    for seed in range(20):
        sampling = WILD._replace(max_tokens=100, seed=seed)
        expected = large.ask(prompt, sampling)
        large.work()
        if large.tokens(expected)[2] == 100:  # not ended by chance
            break
    monkeypatch.setattr(scheduler, "_ANSWER_RESERVE_TOKENS", 8)
    desk = Desk(tiny_model)
    number = desk.ask(prompt, sampling)
    desk.work(steps=3)
    before = desk.context_tokens
    desk.work()
    assert (before, desk.context_tokens) == (256, 512)
    assert desk.text(number) == large.text(expected)


def test_a_context_that_grows_takes_the_other_chats_along(tiny_desk: Desk) -> None:
    chat = chatml("x" * 600)
    first = tiny_desk.ask(chat, WILD)
    tiny_desk.work()
    before = tiny_desk.context_tokens
    tiny_desk.answer(chatml("y" * 900))
    again = tiny_desk.ask(chat, WILD)
    tiny_desk.work()
    assert tiny_desk.context_tokens > before
    prompt, reused, _generated = tiny_desk.tokens(again)
    assert prompt - reused == 1
    assert tiny_desk.text(again) == tiny_desk.text(first)


def test_a_chat_is_read_again_when_a_short_context_becomes_a_long_one(tiny_desk: Desk) -> None:
    """The one has flash attention and the other has not; the KV cache is laid out differently."""
    first = tiny_desk.ask(chatml("one"), WILD)
    tiny_desk.work()
    tiny_desk.answer(chatml("x" * 900))
    again = tiny_desk.ask(chatml("one"), WILD)
    tiny_desk.work()
    assert tiny_desk.tokens(again)[1] <= len("<|im_start|>user\n")  # the start that the two prompts share
    assert tiny_desk.done(again).stop == tiny_desk.done(first).stop


def test_a_full_context_drops_the_oldest_idle_chat(tiny_model: Model) -> None:
    desk = Desk(tiny_model, context_tokens=512)
    chats = [chatml(letter * 200) for letter in "abcd"]
    for chat in chats:
        desk.answer(chat, WILD._replace(max_tokens=4))
    reused = []
    for chat in reversed(chats[2:]):
        number = desk.ask(chat, WILD._replace(max_tokens=4))
        desk.work()
        reused.append(desk.tokens(number)[1])
    assert reused[0] > 200
    assert len(desk.replies) > 0


def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(tiny_model: Model) -> None:
    desk = Desk(tiny_model, context_tokens=256)
    number = desk.ask(chatml("x" * 300))
    failed = desk.failed(number)
    assert failed.failure == wire.Failure.TOO_LONG
    assert failed.figures[0] > 300
    assert failed.figures[1] == 256


def test_a_prompt_that_just_fits_is_answered_with_one_token(tiny_model: Model) -> None:
    desk = Desk(tiny_model, context_tokens=256)
    room = 255 - desk.scheduler.count([*([s.text, s.is_control] for s in chatml(""))])
    number = desk.ask(chatml("x" * room), GREEDY)
    desk.work()
    prompt, _reused, generated = desk.tokens(number)
    assert (prompt, generated) in {(255, 1), (255, 0)}  # none, where the one ends the answer


# Several at once


def test_eight_requests_in_four_slots_all_finish(desk: Desk) -> None:
    countries = ("France", "Italy", "Spain", "Japan", "Germany", "England", "Egypt", "Greece")
    cities = ("Paris", "Rome", "Madrid", "Tokyo", "Berlin", "London", "Cairo", "Athens")
    numbers = [desk.ask(chatml(f"What is the capital of {country}?"), GREEDY) for country in countries]
    desk.work()
    assert [city in desk.text(number) for city, number in zip(cities, numbers, strict=True)] == [True] * 8


def test_a_fifth_chat_takes_the_place_of_the_oldest(desk: Desk) -> None:
    for country in ("France", "Italy", "Spain", "Japan"):
        desk.answer(chatml(f"What is the capital of {country}?"), GREEDY)
    fifth = desk.ask(chatml("What is the capital of Germany?"), GREEDY)
    desk.work()
    assert desk.tokens(fifth)[1] > 0  # the words that all have in common
    assert "Berlin" in desk.text(fifth)


def test_requests_that_do_not_fit_together_wait_for_one_another(tiny_model: Model) -> None:
    desk = Desk(tiny_model, context_tokens=512)
    numbers = [desk.ask(chatml(letter * 300), WILD) for letter in "abc"]
    desk.work()
    assert all(desk.done(number).stop in {"complete", "length"} for number in numbers)
    assert [desk.tokens(number)[0] for number in numbers] == [desk.tokens(numbers[0])[0]] * 3


def test_a_context_that_two_answers_fill_ends_the_longer(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_ANSWER_RESERVE_TOKENS", 8)
    desk = Desk(tiny_model, context_tokens=256)
    sampling = GREEDY._replace(grammar='root ::= "a" root', max_tokens=None)
    numbers = [desk.ask(chatml("x" * length), sampling) for length in (20, 120)]
    desk.work()
    assert [desk.done(number).stop for number in numbers] == ["length", "length"]
    assert desk.text(numbers[0]).strip("a") == desk.text(numbers[1]).strip("a") == ""
    assert len(desk.text(numbers[0])) > len(desk.text(numbers[1])) > 0


def test_progress_goes_up_to_the_whole_prompt(tiny_desk: Desk) -> None:
    number = tiny_desk.ask(chatml("x" * 1200), GREEDY)
    tiny_desk.work()
    progress = tiny_desk.progress(number)
    assert [done for done, _total in progress] == sorted(done for done, _total in progress)
    assert len(progress) >= 3
    assert progress[-1][0] == progress[-1][1] == tiny_desk.tokens(number)[0]


@given(data=st.data())
def test_the_cache_holds_what_it_is_believed_to_hold(data: st.DataObject, tiny_model: Model) -> None:
    """Whatever is asked, cancelled and interrupted, every slot's cells are those of its tokens, from the first on."""
    desk = Desk(tiny_model, context_tokens=data.draw(st.sampled_from([256, 512, 1024])), slots=3)
    starts = ["the model " * 20, "Hello world", "x" * 60, ""]
    for _action in range(data.draw(st.integers(1, 12))):
        match data.draw(st.sampled_from(["ask", "ask", "step", "work", "cancel", "interrupt"])):
            case "ask":
                text = data.draw(st.sampled_from(starts)) + data.draw(st.sampled_from(["a", "b", "cc", "d" * 90]))
                desk.ask(chatml(text), WILD._replace(max_tokens=data.draw(st.integers(1, 30))))
            case "step":
                desk.work(steps=data.draw(st.integers(1, 5)))
            case "work":
                desk.work()
            case "cancel":
                desk.scheduler.cancel(data.draw(st.integers(1, 8)))
            case "interrupt":
                desk.scheduler.interrupt()
                desk.scheduler.step()
        assert_whole(desk)
    desk.work()
    desk.close()


def assert_whole(desk: Desk) -> None:
    cache = desk.scheduler._cache
    if cache._context is not None:
        memory = cache._context._memory
        for slot in cache._slots:
            lowest = lib.llama_memory_seq_pos_min(memory, slot.sequence)
            highest = lib.llama_memory_seq_pos_max(memory, slot.sequence)
            assert (lowest, highest) == ((0, len(slot.tokens) - 1) if slot.tokens else (-1, -1))


# Cancelling


def test_a_cancelled_answer_keeps_what_it_has(starter_model: Model, desk: Desk) -> None:
    whole = Desk(starter_model).answer(STORY)
    number = desk.ask(STORY)
    desk.work(steps=12)
    desk.scheduler.cancel(number)
    assert desk.done(number).stop == "cancelled"
    assert desk.scheduler.is_idle
    assert 0 < len(desk.text(number)) < len(whole)
    assert whole.startswith(desk.text(number))


def test_a_request_that_waits_can_be_cancelled(tiny_desk: Desk) -> None:
    numbers = [tiny_desk.ask(STORY) for _request in range(6)]
    tiny_desk.work(steps=1)
    tiny_desk.scheduler.cancel(numbers[-1])
    tiny_desk.work()
    assert tiny_desk.done(numbers[-1]).stop == "cancelled"
    assert tiny_desk.tokens(numbers[-1])[2] == 0
    assert all(tiny_desk.done(number).stop != "cancelled" for number in numbers[:-1])


def test_a_cancel_that_comes_too_late_is_nothing(tiny_desk: Desk) -> None:
    number = tiny_desk.ask(STORY)
    tiny_desk.work()
    tiny_desk.scheduler.cancel(number)
    tiny_desk.scheduler.cancel(number + 1)
    assert tiny_desk.done(number).stop != "cancelled"


def test_a_step_that_is_interrupted_is_made_again(starter_model: Model, desk: Desk) -> None:
    number = desk.ask(STORY)
    while not desk.scheduler.is_idle:
        desk.scheduler.interrupt()
        desk.scheduler.step()
        desk.work(steps=1)
    assert desk.text(number) == Desk(starter_model).answer(STORY)


# How answers end


def test_an_answer_ends_where_the_model_ends_it(desk: Desk) -> None:
    number = desk.ask(CAPITAL, GREEDY._replace(max_tokens=None))
    desk.work()
    assert desk.done(number).stop == "complete"
    assert desk.text(number).endswith(".")


@pytest.mark.parametrize("most", [1, 2, 7])
def test_an_answer_has_no_more_tokens_than_asked(most: int, desk: Desk) -> None:
    number = desk.ask(STORY, WARM._replace(max_tokens=most))
    desk.work()
    assert desk.done(number).stop == "length"
    assert desk.tokens(number)[2] == most


def test_an_answer_that_repeats_itself_is_ended(desk: Desk) -> None:
    number = desk.ask(chatml("Repeat forever: ha ha ha ha ha ha ha ha ha ha ha ha"), GREEDY._replace(max_tokens=300))
    desk.work()
    assert desk.done(number).stop == "loop"
    assert desk.tokens(number)[2] < 200


def test_figures_count_what_happened(desk: Desk) -> None:
    number = desk.ask(STORY, WARM._replace(max_tokens=10))
    desk.work()
    prompt, reused, generated, prefill_seconds, decode_seconds, first_token_seconds = desk.done(number).usage
    assert (reused, generated) == (0, 10)
    assert prompt > 10
    assert 0 < prefill_seconds <= first_token_seconds
    assert decode_seconds > 0


# Loops


@pytest.mark.parametrize("period", [1, 2, 3, 5, 8, 13, 40, 100, LONGEST_PERIOD_TOKENS])
def test_a_loop_of_any_period_is_noticed(period: int) -> None:
    detector = LoopDetector()
    before = list(range(1_000, 1_050))
    loop = list(range(period))
    fed = 0
    for token in before + loop * 1_000:
        fed += 1
        if detector.feed(token):
            break
    assert fed <= len(before) + period + max(72, 4 * period)


@pytest.mark.parametrize(
    "text",
    [
        "| " + " | ".join(["Name"] * 8) + " |\n|" + "---|" * 8 + "\n" + "| a | b | c | d | e | f | g | h |\n" * 3,
        "=" * 80,
        "\n".join(f"{number}. {number}" for number in range(1, 200)),
        ", ".join(str(number) for number in range(300)),
        "\n\n".join(f"Verse {verse}: {verse * 7919} things\nOh, row, row, row the boat, merrily" for verse in range(4)),
        "\n".join(f"    result[{row}] = values[{row}] + {row * row}" for row in range(60)),
        "La la la la la la la la la la!",
    ],
)
def test_text_that_repeats_a_little_is_no_loop(text: str, starter_model: Model) -> None:
    detector = LoopDetector()
    assert not any(detector.feed(token) for token in starter_model.tokenize([(text, False)]))


# Characters


@given(text=st.text(max_size=60), data=st.data())
def test_text_that_is_cut_between_any_two_bytes_comes_out_whole(text: str, data: st.DataObject) -> None:
    whole = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    parts = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    detokenizer = Detokenizer()
    pieces = [detokenizer.feed(part) for part in parts]
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces if "\ufffd" not in text)


@given(noise=st.binary(max_size=60))
def test_bytes_that_are_no_text_become_replacement_characters(noise: bytes) -> None:
    detokenizer = Detokenizer()
    said = "".join(detokenizer.feed(noise[index : index + 1]) for index in range(len(noise)))
    whole = noise.decode("utf-8", "replace")
    assert whole.startswith(said)
    assert whole[len(said) :] in {
        "\ufffd" * count for count in range(4)
    }  # up to three bytes may still become a character


@given(text=st.text(WRITTEN_CHARACTERS, max_size=80))
def test_the_starters_tokens_give_every_text_back(text: str, starter_model: Model) -> None:
    assert written(starter_model, starter_model.tokenize([(text, False)])) == text


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_tokens_of_single_bytes_give_every_text_back(text: str, tiny_model: Model) -> None:
    assert written(tiny_model, tiny_model.tokenize([(text, False)])) == text


@pytest.mark.parametrize("text", ["#" * 80, "\n" + " " * 80])
def test_tokens_of_many_bytes_are_whole(text: str, starter_model: Model) -> None:
    tokens = starter_model.tokenize([(text, False)])
    assert max(len(starter_model.piece(token)) for token in tokens) >= 80
    assert written(starter_model, tokens) == text


def test_characters_of_several_tokens_are_told_whole(desk: Desk) -> None:
    text = "你好，世界😀👨‍👩‍👧 Ünïcödé"
    number = desk.ask(CAPITAL, GREEDY._replace(grammar=f'root ::= "{text}"', max_tokens=80))
    desk.work()
    assert desk.text(number) == text
    assert desk.tokens(number)[2] > len(desk.pieces(number))
    assert "\ufffd" not in "".join(desk.pieces(number))


def test_a_character_that_an_answer_breaks_off_in_is_left_out(desk: Desk) -> None:
    number = desk.ask(CAPITAL, GREEDY._replace(grammar='root ::= "𝔘𝔫𝔦"', max_tokens=2))
    desk.work()
    assert desk.tokens(number)[2] == 2
    assert "\ufffd" not in desk.text(number)
    assert len(desk.text(number)) <= 1


def test_an_answer_that_breaks_off_in_a_character_is_gone_on_with_before_it(desk: Desk) -> None:
    first = desk.ask(CAPITAL, GREEDY._replace(grammar='root ::= "a𝔘𝔫𝔦"', max_tokens=2))
    desk.work()
    assert desk.text(first) == "a"
    second = desk.ask((*CAPITAL, plain("a")), GREEDY._replace(max_tokens=1))
    desk.work()
    assert desk.tokens(second)[0] == desk.tokens(first)[0] + 1


def written(model: Model, tokens: list[int]) -> str:
    """The text of tokens, told one by one."""
    detokenizer = Detokenizer()
    return "".join(detokenizer.feed(model.piece(token)) for token in tokens)
