"""What can be set: one line for each key gives its name, its type, its check and its environment variable.

Every layer arrives as text (a YAML scalar as it is written, a variable, an argument of `config set`) and is read by the
same `Kind`, so a value means the same wherever it is said. The small records are named tuples: every run makes these
classes, and a frozen dataclass takes 0.4 ms to make.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Final, NamedTuple, Protocol, get_args

from hychat.domain.choices import SafetyLevel, Style
from hychat.domain.errors import ConfigError
from hychat.domain.generation import LARGEST_SEED, TEMPERATURE_RANGE, GenerationSettings
from hychat.messages import _

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_INFINITE: Final = float("inf")
_FALSE: Final = frozenset({"false", "no", "off", "0"})


class Kind(Protocol):
    """What may be said for a key."""

    def read(self, text: str) -> object:
        """The value that the text means.

        Raises:
            ValueError: It means none.
        """
        ...

    def complaint(self, key: str, text: str) -> str:
        """The sentence that says what was expected instead of the text."""
        ...


class Text:
    """Any text."""

    def read(self, text: str) -> str:
        """The text itself."""
        return text

    def complaint(self, key: str, text: str) -> str:
        """Said only of what is not a single value, such as a list."""
        return _("{key} must be text, not {value}.").format(key=key, value=text)


class Choice(NamedTuple):
    """One of a few words."""

    values: tuple[str, ...]

    def read(self, text: str) -> str:
        """The word, as the member of an enumeration where the words are such."""
        return self.values[self.values.index(text.strip().lower())]

    def complaint(self, key: str, text: str) -> str:
        """Names the words."""
        return _("{key} must be one of {choices}, not {value}.").format(
            key=key, choices=", ".join(self.values), value=text
        )


class Truth:
    """Yes or no, in any of YAML's spellings."""

    def read(self, text: str) -> bool:
        """Whether it is yes."""
        word = text.strip().lower()
        if word not in _TRUE | _FALSE:
            raise ValueError(text)
        return word in _TRUE

    def complaint(self, key: str, text: str) -> str:
        """Names the two."""
        return _("{key} must be true or false, not {value}.").format(key=key, value=text)


class Number(NamedTuple):
    """A number within bounds."""

    low: float
    high: float

    def read(self, text: str) -> float:
        """The number."""
        number = float(text)
        if not self.low <= number <= self.high:  # false for nan as well
            raise ValueError(text)
        return number

    def complaint(self, key: str, text: str) -> str:
        """Names the bounds."""
        return _("{key} must be a number from {low} to {high}, not {value}.").format(
            key=key, low=self.low, high=self.high, value=text
        )


class Whole(NamedTuple):
    """A whole number within bounds."""

    low: int
    high: int

    def read(self, text: str) -> int:
        """The number."""
        number = int(text)
        if not self.low <= number <= self.high:
            raise ValueError(text)
        return number

    def complaint(self, key: str, text: str) -> str:
        """Names the bounds."""
        return _("{key} must be a whole number from {low} to {high}, not {value}.").format(
            key=key, low=self.low, high=self.high, value=text
        )


class WholeOrAuto(NamedTuple):
    """A whole number within bounds, or the word that leaves it to hychat."""

    low: int
    high: int

    def read(self, text: str) -> int | None:
        """The number; None for `auto`."""
        return None if text.strip().lower() == "auto" else Whole(self.low, self.high).read(text)

    def complaint(self, key: str, text: str) -> str:
        """Names the bounds, and the word."""
        return _("{key} must be auto or a whole number from {low} to {high}, not {value}.").format(
            key=key, low=self.low, high=self.high, value=text
        )


class Shares:
    """Numbers between commas, of which one at least is not 0."""

    def read(self, text: str) -> str:
        """The text, which may be empty."""
        shares = [float(part) for part in text.split(",")] if text.strip() else [1.0]
        if not (all(0 <= share < _INFINITE for share in shares) and any(shares)):
            raise ValueError(text)
        return text.strip()

    def complaint(self, key: str, text: str) -> str:
        """Shows what they look like."""
        return _("{key} must be shares such as 3,1, one for each device, not {value}.").format(key=key, value=text)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set; None leaves the choice to the model or to the machine."""

    model: Annotated[str | None, Text()] = None
    """The model to talk to: a name of the catalogue, or the path of a GGUF file."""
    language: Annotated[str, Choice(("auto", "en", "zh"))] = "auto"
    """The language hychat itself speaks; auto follows the locale."""
    style: Annotated[Style | None, Choice(tuple(Style))] = None
    """The manner of answers: formal, casual or friendly."""
    system: Annotated[str, Text()] = ""
    """What the model is told before every chat."""
    temperature: Annotated[float | None, Number(*TEMPERATURE_RANGE)] = None
    """How freely words are chosen, from 0.1 (the likeliest) to 1.0 (as the model was trained)."""
    top_k: Annotated[int | None, Whole(0, 1_000_000)] = None
    """Choose among the k likeliest tokens only; 0 does not limit."""
    top_p: Annotated[float | None, Number(0.0, 1.0)] = None
    """Choose among the likeliest tokens that together have this probability; 1.0 does not limit."""
    min_p: Annotated[float | None, Number(0.0, 1.0)] = None
    """Leave out tokens less likely than this share of the likeliest one; 0.0 leaves out none."""
    repeat_penalty: Annotated[float | None, Number(0.5, 2.0)] = None
    """How much less likely a recent token becomes; 1.0 changes nothing."""
    seed: Annotated[int | None, Whole(0, LARGEST_SEED)] = None
    """The same seed gives the same answer on the same machine; a new one is drawn each time where none is set."""
    max_tokens: Annotated[int | None, Whole(1, 10_000_000)] = None
    """The longest answer, in tokens, thoughts included."""
    context_tokens: Annotated[int | None, Whole(256, 10_000_000)] = None
    """The most tokens that a chat and its answer may have together; more takes more memory."""
    threads: Annotated[int | None, Whole(1, 1024)] = None
    """Processor threads to compute with."""
    gpu_layers: Annotated[int | None, WholeOrAuto(-1, 10_000)] = None
    """Layers to put on GPUs or other devices, -1 for all; hychat puts as many as fit."""
    n_cpu_moe: Annotated[int | None, WholeOrAuto(0, 10_000)] = None
    """Layers whose experts stay on the CPU, in a mixture of experts; hychat leaves as few as it must."""
    kv_type: Annotated[str | None, Choice(("f16", "q8_0", "q4_0"))] = None
    """How the KV cache is kept: f16, q8_0 in half of the memory, q4_0 in a quarter."""
    tensor_split: Annotated[str, Shares()] = ""
    """What share of the layers each device gets, such as 3,1; hychat goes by their free memory."""
    main_gpu: Annotated[int | None, Whole(0, 63)] = None
    """The one device to use, where there are several, counted from 0."""
    rpc: Annotated[str, Text()] = ""
    """Machines to put layers on, as host:port with commas between; each runs hychat rpc-worker."""
    lora: Annotated[str, Text()] = ""
    """LoRA adapters to put over the model, as FILE[:scale] with commas between."""
    mmproj: Annotated[str, Text()] = ""
    """The projector with which the model sees pictures, a GGUF file; else the one that belongs to it is used."""
    think: Annotated[bool | None, Truth()] = None
    """Whether the model may think before it answers, where it can."""
    safety: Annotated[SafetyLevel, Choice(tuple(SafetyLevel))] = SafetyLevel.STANDARD
    """How much the safety filter stops: off, standard or strict."""
    guard_model: Annotated[str, Choice(("strict", "always", "never"))] = "strict"
    """At which level a guard model that is on this machine rules too."""
    keep_blocked: Annotated[bool, Truth()] = False
    """Whether what the safety filter blocked is written to a file of its own, with the reason."""
    save: Annotated[bool, Truth()] = True
    """Whether chats are kept."""
    offline: Annotated[bool, Truth()] = False
    """Whether to stay away from the network: nothing is fetched, no hub is asked."""
    theme: Annotated[str, Text()] = "auto"
    """How the chat looks on the whole screen: the name of a theme; auto takes a dark or a light one, as the terminal is."""
    send_key: Annotated[str, Choice(("enter", "ctrl+j"))] = "enter"
    """What sends a prompt: with ctrl+j, Enter begins a new line."""
    mouse: Annotated[bool, Truth()] = True
    """Whether the chat takes the mouse; false leaves it to the terminal, for selecting in its own way."""
    color: Annotated[str, Choice(("auto", "always", "never"))] = "auto"
    """Whether the terminal output is coloured; auto asks the terminal."""

    @property
    def generation(self) -> GenerationSettings:
        """The part that says how answers are made."""
        said = {f.name: getattr(self, f.name) for f in fields(GenerationSettings) if f.name in KEYS}
        return GenerationSettings(**said)

    def over(self, flags: Mapping[str, Any]) -> "Config":
        """These settings under what was typed: flags by key, None for one that was not typed.

        Raises:
            ConfigError: A flag has a value that its key does not take.
        """
        typed = {name: value for name, value in flags.items() if value is not None}
        return replace(self, **{name: KEYS[name].read(str(value), KEYS[name].flag) for name, value in typed.items()})


class Key(NamedTuple):
    """One thing that can be set."""

    name: str
    kind: Kind
    default: Any

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"HYCHAT_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """Its flag on the command line."""
        return f"--{self.name.replace('_', '-')}"

    def read(self, text: str, place: str) -> Any:
        """The value that a text means for this key.

        Raises:
            ConfigError: It means none; `place` says where it stands.
        """
        try:
            return self.kind.read(text)
        except ValueError:
            raise self.refusal(text, place) from None

    def refusal(self, text: str, place: str) -> ConfigError:
        """What to raise for a text that means nothing for this key."""
        return ConfigError(f"{place}: {self.kind.complaint(self.name, text)}")


KEYS: Final[Mapping[str, Key]] = {f.name: Key(f.name, get_args(f.type)[1], f.default) for f in fields(Config)}


def key_named(name: str, place: str) -> Key:
    """The key of that name.

    Raises:
        ConfigError: There is none; `place` says where it was asked for.
    """
    if name in KEYS:
        return KEYS[name]
    raise ConfigError(_("{place}: there is no key {key}.").format(place=place, key=name), hint=_nearest(name, KEYS))


def _nearest(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only when something is wrong

    keys = ", ".join(known)
    for near in get_close_matches(name, known, n=1):
        return _("The nearest key is {nearest}. All keys: {keys}.").format(nearest=near, keys=keys)
    return _("All keys: {keys}.").format(keys=keys)
