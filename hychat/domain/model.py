"""What is known of a model before it is loaded."""

from dataclasses import dataclass, field

from hychat.domain.generation import GenerationSettings


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
    licence: str | None = None
    extra: str | None = None
    """The extra of hychat that installs the model's package."""
    defaults: GenerationSettings = field(default_factory=GenerationSettings)


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model whose file is on this machine."""

    spec: ModelSpec
    path: str
