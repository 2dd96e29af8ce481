"""What `hychat models info` tells: the catalogue's facts, and the file's own."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from hychat.catalogue.find import projector_of
from hychat.catalogue.licence import terms_of
from hychat.domain.model import LocalModel, ModelFile, ModelSpec
from hychat.domain.numbers import size
from hychat.messages import _


class Fact(NamedTuple):
    """Something that is known of a model."""

    key: str
    """In JSON."""
    label: str
    """For people; one without is only for programs."""
    value: object
    shown: str
    """The value for people."""

    @classmethod
    def of(cls, key: str, label: str, value: object, shown: str | None = None) -> Self:
        """One whose value is shown as it is, unless it is given otherwise."""
        return cls(key, label, value, str(value) if shown is None else shown)


def facts_of(spec: ModelSpec) -> list[Fact]:
    """From the catalogue; what nobody has checked is left out."""
    file = spec.files[0] if spec.files else ModelFile(file="")
    licence, cache_bytes = spec.licence, spec.kv_bytes_per_token
    facts = [
        Fact.of("name", _("name"), spec.name),
        Fact.of("title", _("title"), spec.title),
        Fact.of("family", _("family"), spec.family),
        Fact.of("architecture", _("architecture"), spec.architecture),
        Fact.of("capabilities", _("capabilities"), sorted(spec.capabilities), ", ".join(sorted(spec.capabilities))),
        Fact.of("parameters", _("parameters"), spec.parameters_total, _count(spec.parameters_total)),
        Fact.of("active_parameters", _("active parameters"), spec.parameters_active, _count(spec.parameters_active)),
        Fact.of("context_tokens", _("context"), spec.context_tokens),
        Fact.of("kv_bytes_per_token", _("KV cache per token"), cache_bytes, size(cache_bytes or 0)),
        Fact.of("repository", _("repository"), file.repository),
        Fact.of("file", _("file"), file.file),
        Fact.of("bytes", _("size"), file.bytes, size(file.bytes or 0)),
        Fact.of("sha256", "SHA-256", file.sha256),
        Fact.of("licence", _("licence"), licence.id if licence else None, licence.title if licence else None),
    ]
    if licence and licence.needs_acknowledgement:
        terms = terms_of(licence).partition("\n")[2]
        facts.append(Fact.of("terms", _("terms"), terms))
    return [fact for fact in facts if fact.value]


def facts_of_sight(spec: ModelSpec | None, local: LocalModel | None) -> list[Fact]:
    """Whether it sees pictures, and by which projector; `spec` is what the catalogue knows, `local` the model that is here."""
    known = spec.projector if spec else None
    here = projector_of(local) if local else None
    if known is None and here is None:
        return [Fact.of("sees", _("sees pictures"), False, _("no"))]
    name = known.file if known else here.name if here else ""
    size_bytes = here.stat().st_size if here else known.bytes if known else None
    is_here = _("here") if here else _("not here")
    return [
        Fact.of("sees", _("sees pictures"), True, _("yes")),
        Fact.of("projector", _("projector"), name, f"{name} ({size(size_bytes or 0)}, {is_here})"),
        Fact.of("projector_bytes", "", size_bytes, ""),
        Fact.of("projector_installed", "", here is not None, ""),
    ]


def facts_of_file(path: str) -> list[Fact]:
    """From the header of the file that is here."""
    from hychat.engine.gguf import read_header

    header = read_header(path)
    return [
        Fact.of("path", _("path"), path),
        Fact.of("layers", _("layers"), header.block_count),
        Fact.of("trained_context_tokens", _("trained context"), header.context_tokens),
        Fact.of("weights_bytes", _("weights"), header.tensor_bytes, size(header.tensor_bytes)),
    ]


def table(facts: Sequence[Fact]) -> str:
    """A line for each, the labels in a column."""
    from rich.cells import cell_len

    shown = [fact for fact in facts if fact.label]
    width = max(cell_len(fact.label) for fact in shown) + 1
    return "\n".join(f"{fact.label}:{' ' * (width - cell_len(fact.label))}{fact.shown}" for fact in shown)


def _count(parameters: int | None) -> str:
    if parameters is None:
        return ""
    return f"{parameters / 1e9:.1f} B" if parameters >= 10**9 else f"{parameters / 1e6:.0f} M"
