"""From logits to the next token: a repetition penalty, then one sampler chain a request, built once."""

import ctypes
import math
from array import array
from collections import deque
from typing import Any, Final, Protocol

from hychat.engine.llama.bindings import lib
from hychat.engine.llama.context import Context
from hychat.engine.llama.model import Model
from hychat.engine.wire import Sampling

_PENALTY_WINDOW_TOKENS: Final = 64
_GRAMMAR_ROOT: Final = b"root"


class GrammarRejected(Exception):
    """llama.cpp did not take the grammar."""


class GrammarStuck(Exception):
    """The vocabulary has no token that the grammar allows next."""


class Sampler(Protocol):
    """Draws the tokens of one answer."""

    def sample(self, context: Context, logits_index: int) -> int:
        """The next token; the chain remembers it.

        Raises:
            GrammarStuck: No token is allowed.
        """
        ...

    def close(self) -> None:
        """Free the chain."""
        ...


def sampler_for(model: Model, sampling: Sampling) -> Sampler:
    """The sampler that a request asks for.

    Raises:
        GrammarRejected: llama.cpp does not take the grammar.
    """
    chain, penalty = _chain(sampling), RepeatPenalty(sampling.repeat_penalty)
    if sampling.grammar is None:
        return ChainSampler(chain, penalty)
    grammar = lib.llama_sampler_init_grammar(model.vocab, sampling.grammar.encode(), _GRAMMAR_ROOT)
    if not grammar:  # llama.cpp would follow the null pointer
        lib.llama_sampler_free(chain)
        raise GrammarRejected
    return GrammarSampler(model, chain, penalty, grammar)


def _chain(sampling: Sampling) -> Any:
    """Top-k, top-p, min-p, temperature, then a draw by the seed: llama.cpp's own order, after the penalty."""
    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    stages = [
        sampling.top_k > 0 and lib.llama_sampler_init_top_k(sampling.top_k),
        sampling.top_p < 1.0 and lib.llama_sampler_init_top_p(sampling.top_p, 1),
        sampling.min_p > 0.0 and lib.llama_sampler_init_min_p(sampling.min_p, 1),
        lib.llama_sampler_init_temp(sampling.temperature),
        lib.llama_sampler_init_dist(sampling.seed & 0xFFFFFFFF),
    ]
    for stage in stages:
        if stage:
            lib.llama_sampler_chain_add(chain, stage)
    return chain


class RepeatPenalty:
    """Makes the tokens of late less likely, as llama.cpp's own stage does.

    That one looks every token of the vocabulary up, more than half of all the time that sampling takes; here only the few that
    were drawn are touched.
    """

    def __init__(self, penalty: float) -> None:
        self._penalty = penalty
        self._recent: deque[int] = deque(maxlen=_PENALTY_WINDOW_TOKENS)

    def apply(self, context: Context, logits_index: int) -> None:
        """Change a row of logits in place; once before each draw."""
        if self._penalty != 1.0:
            logits = lib.llama_get_logits_ith(context.handle, logits_index)
            for token in set(self._recent):
                logit = logits[token]
                logits[token] = logit / self._penalty if logit > 0 else logit * self._penalty

    def accept(self, token: int) -> None:
        """Remember a drawn token."""
        self._recent.append(token)


class ChainSampler:
    """The chain alone; llama.cpp does all the work."""

    def __init__(self, chain: Any, penalty: RepeatPenalty) -> None:
        self._chain = chain
        self._penalty = penalty

    def sample(self, context: Context, logits_index: int) -> int:
        """The next token; the chain remembers it."""
        self._penalty.apply(context, logits_index)
        token = int(lib.llama_sampler_sample(self._chain, context.handle, logits_index))
        self._penalty.accept(token)
        return token

    def close(self) -> None:
        """Free the chain."""
        lib.llama_sampler_free(self._chain)


class GrammarSampler:
    """The chain under a grammar.

    Asking a grammar about a whole vocabulary takes far longer than a decode step, so the chain draws first and the grammar is
    asked about that one token; only when it says no does it filter the vocabulary for a second draw.
    """

    def __init__(self, model: Model, chain: Any, penalty: RepeatPenalty, grammar: Any) -> None:
        self._chain = chain
        self._penalty = penalty
        self._grammar = grammar
        self._size = model.vocab_size
        self._candidates = (lib.llama_token_data * self._size)()
        self._logit_column = memoryview(self._candidates).cast("B").cast("f")[1::3]
        memoryview(self._candidates).cast("B").cast("i")[0::3] = memoryview(array("i", range(self._size)))
        self._ids = bytes(self._candidates)
        self._control_tokens = model.control_tokens  # a grammar would take one for its text, which no reader sees

    def sample(self, context: Context, logits_index: int) -> int:
        """The next token; chain and grammar remember it.

        Raises:
            GrammarStuck: No token is allowed.
        """
        self._penalty.apply(context, logits_index)
        token = self._draw(context, logits_index, filtered=False)
        if not self._allows(token):
            token = self._draw(context, logits_index, filtered=True)
            if not self._allows(token):  # llama.cpp would end the process
                raise GrammarStuck
        self._penalty.accept(token)
        lib.llama_sampler_accept(self._chain, token)
        lib.llama_sampler_accept(self._grammar, token)
        return token

    def _draw(self, context: Context, logits_index: int, *, filtered: bool) -> int:
        ctypes.memmove(self._candidates, self._ids, len(self._ids))
        logits = lib.llama_get_logits_ith(context.handle, logits_index)
        row = ctypes.cast(logits, ctypes.POINTER(ctypes.c_float * self._size)).contents
        self._logit_column[:] = memoryview(row).cast("B").cast("f")
        for token in self._control_tokens:
            self._logit_column[token] = -math.inf
        candidates = lib.llama_token_data_array(self._candidates, self._size, -1, False)
        if filtered:
            lib.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        lib.llama_sampler_apply(self._chain, ctypes.byref(candidates))
        return int(candidates.data[candidates.selected].id)

    def _allows(self, token: int) -> bool:
        one = (lib.llama_token_data * 1)(lib.llama_token_data(token, 1.0, 0.0))
        candidates = lib.llama_token_data_array(one, 1, -1, False)
        lib.llama_sampler_apply(self._grammar, ctypes.byref(candidates))
        return not math.isinf(one[0].logit)

    def close(self) -> None:
        """Free chain and grammar."""
        lib.llama_sampler_free(self._chain)
        lib.llama_sampler_free(self._grammar)
