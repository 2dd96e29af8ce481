"""How an answer is to be made, why it ended, and what it cost."""

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Final

TEMPERATURE_RANGE: Final = (0.1, 1.0)
LARGEST_SEED: Final = 2**32 - 2
"""llama.cpp takes 32 bits, and the last value for "choose one"."""


class StopReason(StrEnum):
    """Why an answer ended."""

    COMPLETE = "complete"
    LENGTH = "length"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"
    LOOP = "loop"


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """Sampling choices; None means "not said", so that layers can be laid over one another."""

    temperature: float | None = None
    top_k: int | None = None
    """Keep the k likeliest tokens; 0 or less keeps all."""
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    """Divides the logits of recent tokens; 1.0 does nothing."""
    seed: int | None = None
    max_tokens: int | None = None
    """Longest answer, thoughts included; None: to the end of the context."""
    think: bool | None = None
    """Whether the model may think before it answers, where it can."""
    json_schema: str | None = None
    """A JSON schema, as JSON text, that the answer must follow."""

    def over(self, below: "GenerationSettings") -> "GenerationSettings":
        """These settings, with what they leave unsaid taken from `below`: the one merge rule."""
        said = {f.name: value for f in fields(self) if (value := getattr(self, f.name)) is not None}
        return replace(below, **said)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer cost. Token counts, and seconds as the engine measured them."""

    prompt_tokens: int = 0
    """Tokens of the whole prompt."""
    reused_tokens: int = 0
    """Those of them found in the KV cache."""
    generated_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    """From the first generated token to the last."""
    first_token_seconds: float = 0.0
    """From the request's arrival in the engine to its first token."""

    @property
    def prefill_tokens_per_second(self) -> float:
        """Speed of reading the part of the prompt that was not in the KV cache."""
        return (self.prompt_tokens - self.reused_tokens) / self.prefill_seconds if self.prefill_seconds else 0.0

    @property
    def decode_tokens_per_second(self) -> float:
        """Speed of writing; the first token belongs to the prefill."""
        return (self.generated_tokens - 1) / self.decode_seconds if self.decode_seconds else 0.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an answer was made with, so that it can be made again."""

    model: str
    settings: GenerationSettings
    usage: Usage
