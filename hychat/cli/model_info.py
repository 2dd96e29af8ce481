"""What `hychat models info` tells: the catalogue's facts, and the file's own."""

from hychat.catalogue.download import size
from hychat.cli.pulling import terms_of
from hychat.domain.model import ModelSpec
from hychat.messages import _


def facts_of(spec: ModelSpec) -> dict[str, object]:
    """From the catalogue; a fact that nobody has checked is left out."""
    file = spec.files[0] if spec.files else None
    licence = spec.licence
    facts: dict[str, object] = {
        _("name"): spec.name,
        _("title"): spec.title,
        _("family"): spec.family,
        _("architecture"): spec.architecture,
        _("capabilities"): ", ".join(sorted(spec.capabilities)),
        _("parameters"): _count(spec.parameters_total),
        _("active parameters"): _count(spec.parameters_active),
        _("context"): spec.context_tokens,
        _("KV cache per token"): size(spec.kv_bytes_per_token) if spec.kv_bytes_per_token else None,
        _("repository"): file.repository if file else None,
        _("file"): file.file if file else None,
        _("size"): size(file.bytes) if file and file.bytes else None,
        "SHA-256": file.sha256 if file else None,
        _("licence"): licence.title if licence else None,
    }
    if licence and licence.needs_acknowledgement:
        facts[_("terms")] = terms_of(licence).partition("\n")[2]
    return {key: value for key, value in facts.items() if value is not None}


def facts_of_file(path: str) -> dict[str, object]:
    """From the header of the file that is here."""
    from hychat.engine.gguf import read_header

    header = read_header(path)
    return {
        _("layers"): header.block_count,
        _("trained context"): header.context_tokens,
        _("weights"): size(header.tensor_bytes),
    }


def _count(parameters: int | None) -> str | None:
    if parameters is None:
        return None
    return f"{parameters / 1e9:.1f} B" if parameters >= 10**9 else f"{parameters / 1e6:.0f} M"
