"""What is known of a model before it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hychat.domain.generation import GenerationSettings


@dataclass(frozen=True, slots=True)
class Licence:
    """Who may use a model, and what must be agreed to before its first download."""

    id: str
    """SPDX identifier, or a name of ours that ends in the licence's date: a new version is another id."""
    title: str
    url: str | None = None
    """Where its full text stands."""
    excluded_regions: tuple[str, ...] = ()
    """Where it grants nothing: ISO 3166 codes and "EU"; the United Kingdom as "UK"."""
    terms: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What it asks for, in our own words, by language ("en", "zh")."""

    @property
    def needs_acknowledgement(self) -> bool:
        """Whether it must be agreed to before the first download."""
        return bool(self.terms)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One GGUF, and where it comes from."""

    file: str
    """File name in its repository or package."""
    repository: str | None = None
    """`owner/name` on the Hugging Face hub."""
    package: str | None = None
    """The Python package that carries the file."""
    revision: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    quantization: str | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that hychat knows by name."""

    name: str
    """What users type."""
    title: str
    family: str
    architecture: str
    """The GGUF's `general.architecture`."""
    context_tokens: int | None = None
    """Context to use at most; None: what the header says."""
    files: tuple[ModelFile, ...] = ()
    capabilities: frozenset[str] = frozenset({"text"})
    """What it can be used for: "text", "image" and "translate" in a chat; "guard", ruling on texts for the safety filter."""
    licence: Licence | None = None
    parameters_total: int | None = None
    parameters_active: int | None = None
    """Those that work on one token: fewer than all in a mixture of experts."""
    prompt_family: str | None = None
    """Its chat layout: "hunyuan-a", "hunyuan-b", "hy-v3", or "jinja" for the template in its file."""
    kv_bytes_per_token: int | None = None
    """KV cache at 16 bits a value."""
    thinking: str | None = None
    """Whether it thinks before it answers: "slow-default" (unless told not to), "optional" or "none"."""
    projector: ModelFile | None = None
    """The part of an image model that sees (mmproj)."""
    extra: str | None = None
    """The extra of hychat that installs the model's package."""
    defaults: GenerationSettings = field(default_factory=GenerationSettings)

    @property
    def is_for_chat(self) -> bool:
        """Whether one can talk to it."""
        return self.capabilities != {"guard"}


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model whose file is on this machine."""

    spec: ModelSpec
    path: str
