"""`hychat gguf inspect`: what a model's file is made of; of one on the hub no more than its header is fetched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hychat.cli import typed
from hychat.cli.commands import Command
from hychat.cli.output import Output
from hychat.domain.errors import HychatError
from hychat.messages import _

if TYPE_CHECKING:
    from hychat.cli.model_info import Fact
    from hychat.conversion.inspect import Inspection
    from hychat.engine.gguf import GgufHeader

_Model = Annotated[
    str,
    typer.Argument(
        metavar=_("MODEL"),
        help=_("A name, hf:owner/repository[:quantization or file], or a path."),
        autocompletion=typed.model_names,
    ),
]
_Template = Annotated[bool, typer.Option("--template", help=_("Print the chat template, and nothing else."))]
_Mirror = Annotated[
    str | None, typer.Option("--mirror", help=_("Ask this hub instead of huggingface.co."), metavar=_("URL"))
]
_Json = Annotated[bool, typer.Option("--json", help=_("Print JSON."))]

_MOST_LETTERS: Final = 100
_OWN_LICENCE: Final = "other"
"""The hub's word for one that it has no name for."""
_EOT_KEY: Final = "tokenizer.ggml.eot_token_id"


def inspect(model: _Model, *, template: _Template = False, mirror: _Mirror = None, as_json: _Json = False) -> None:
    """Look, and print."""
    output = Output.of_process()
    with _looked_at(model, mirror) as found:
        if template:
            if found.header.chat_template is None:
                raise HychatError(_("{name} has no chat template.").format(name=model))
            output.text(found.header.chat_template)
        elif as_json:
            output.json(_as_json(model, found))
        else:
            _tell(model, found, output)


@contextmanager
def _looked_at(name: str, mirror: str | None) -> "Iterator[Inspection]":
    """A model on this machine, else on the hub; raises as `headers_of`."""
    from hychat.conversion.inspect import inspect as inspected
    from hychat.conversion.inspect import inspect_file

    path = _path_here(name)
    if path is not None:
        yield inspect_file(path)
    else:
        with _remote_headers_of(name, mirror) as parts:
            yield inspected(parts)


@contextmanager
def headers_of(name: str, mirror: str | None = None) -> "Iterator[tuple[GgufHeader, ...]]":
    """The headers of all of a model's parts: of the file on this machine, else of the one on the hub.

    Raises:
        ModelNotFound: There is no such file, or model.
        ModelUnusable: It is no GGUF.
        DownloadError: The hub cannot be asked, or has no such file.
    """
    from hychat.engine.gguf import all_parts, read_header

    path = _path_here(name)
    if path is not None:
        yield all_parts(read_header(path))
    else:
        with _remote_headers_of(name, mirror) as headers:
            yield headers


def _path_here(name: str) -> str | None:
    """Where a model lies on this machine; None where the hub may have it. Raises as `locate`."""
    from hychat.catalogue.find import is_path, locate
    from hychat.domain.errors import ModelNotFound

    try:
        return locate(name).path
    except ModelNotFound:
        if is_path(name) and not name.startswith("hf:"):
            raise
        return None


@contextmanager
def _remote_headers_of(name: str, mirror: str | None) -> "Iterator[tuple[GgufHeader, ...]]":
    from hychat.catalogue.hub import hub_endpoint
    from hychat.catalogue.pulling import wanted
    from hychat.catalogue.remote_header import remote_headers

    endpoint = hub_endpoint(mirror)
    found = wanted(name, endpoint)
    with remote_headers(found.files[: found.part_count], endpoint) as headers:
        yield headers


def _as_json(name: str, found: "Inspection") -> dict[str, object]:
    header = found.header
    return {
        "model": name,
        "file": Path(header.path).name,
        "gguf_version": header.version,
        "parts": found.parts,
        "parts_in_all": header.split_count,
        "architecture": header.architecture,
        "name": header.text("general.name"),
        "licence": header.text("general.license"),
        "licence_name": header.text("general.license.name"),
        "licence_link": header.text("general.license.link"),
        "parameters": found.parameters,
        "active_parameters": found.active_parameters,
        "bytes": found.bytes,
        "bits_per_weight": round(found.bits_per_weight, 3),
        "main_type": found.main_type,
        "layers": header.block_count,
        "embedding_length": header.embedding_length,
        "context_tokens": header.context_tokens,
        "kv_bytes_per_token": header.kv_bytes_per_token(),
        "experts": {
            "count": header.expert_count,
            "used": header.expert_used_count,
            "shared": header.expert_shared_count,
        },
        "tokenizer": {
            "model": header.text("tokenizer.ggml.model"),
            "pre": header.tokenizer_pre,
            "tokens": header.vocabulary_size,
            "bos": header.token_text(header.bos_token_id),
            "eos": header.token_text(header.eos_token_id),
            "eot": header.token_text(header.integer(_EOT_KEY)),
        },
        "sampling": _sampling(found),
        "chat_template_characters": len(header.chat_template or ""),
        "groups": [
            {
                "name": group.name,
                "tensors": group.tensors,
                "parameters": group.elements,
                "bytes": group.bytes,
                "bits_per_weight": round(group.bits_per_weight, 3),
                "types": dict(group.types),
            }
            for group in found.groups
        ],
        "loads": not found.refusal,
        "refusal": _refusal(found) if found.refusal else None,
        "hint": found.refusal.hint if found.refusal else None,
        "corrects_eos": found.corrects_eos,
    }


def _tell(name: str, found: "Inspection", output: Output) -> None:
    from hychat.cli.gguf.picture import draw
    from hychat.cli.model_info import table

    output.text(table(_facts(name, found)))
    if found.groups:
        output.styled("")
        draw(found.groups, output)


def _facts(name: str, found: "Inspection") -> "list[Fact]":
    from hychat.cli.model_info import Fact
    from hychat.domain.numbers import size

    header = found.header
    kv_bytes, template = header.kv_bytes_per_token(), header.chat_template
    length = _("{count} characters; --template prints it").format(count=len(template or ""))
    parts = _("{count} of {total}").format(count=found.parts, total=header.split_count)
    facts = [
        Fact.of("model", _("model"), name),
        Fact.of("name", _("name"), _line(header.text("general.name"))),
        Fact.of("architecture", _("architecture"), _line(header.architecture)),
        Fact.of("parameters", _("parameters"), _parameters(found)),
        Fact.of("experts", _("experts"), header.expert_count, _experts(header)),
        Fact.of("size", _("size"), found.bytes, _size_and_bits(found)),
        Fact.of("parts", _("files"), header.split_count > 1, parts),
        Fact.of("layers", _("layers"), header.block_count),
        Fact.of("context", _("trained context"), header.context_tokens),
        Fact.of("kv", _("KV cache per token"), kv_bytes, size(kv_bytes)),
        Fact.of("tokenizer", _("tokenizer"), _tokenizer(header)),
        Fact.of("tokens", _("special tokens"), _special_tokens(header)),
        Fact.of("template", _("chat template"), template, length),
        Fact.of("sampling", _("sampling advice"), _advice(found)),
        Fact.of("licence", _("licence"), _licence(header)),
        Fact.of("verdict", "hychat", _verdict(found)),
    ]
    return [fact for fact in facts if fact.value]


def _line(text: str | None) -> str:
    """What a file says of itself, on one line: a line break in it is not to look like a row of ours."""
    from hychat.engine.gguf_cursor import shown

    return text or "" if (text or "").isprintable() and len(text or "") <= _MOST_LETTERS else shown(text or "")


def _parameters(found: "Inspection") -> str:
    from hychat.domain.numbers import amount

    if found.active_parameters == found.parameters:
        return amount(found.parameters)
    active = _("{count} of them for each token").format(count=amount(found.active_parameters))
    return f"{amount(found.parameters)}, {active}"


def _experts(header: "GgufHeader") -> str:
    if not header.expert_shared_count:
        return _("{count}, of which each token uses {used}").format(
            count=header.expert_count, used=header.expert_used_count
        )
    return _("{count}, of which each token uses {used}, and {shared} for all").format(
        count=header.expert_count, used=header.expert_used_count, shared=header.expert_shared_count
    )


def _size_and_bits(found: "Inspection") -> str:
    from hychat.domain.numbers import size

    bits = _("{bits:.2f} bits a weight, most in {type}").format(bits=found.bits_per_weight, type=found.main_type)
    return f"{size(found.bytes)}, {bits}"


def _tokenizer(header: "GgufHeader") -> str:
    model = _line(header.text("tokenizer.ggml.model"))
    return f"{model} ({_line(header.tokenizer_pre)}), {header.vocabulary_size:,}" if model else ""


def _special_tokens(header: "GgufHeader") -> str:
    tokens = {"BOS": header.bos_token_id, "EOS": header.eos_token_id, "EOT": header.integer(_EOT_KEY)}
    return ", ".join(f"{kind} {_line(header.token_text(token))}" for kind, token in tokens.items() if token is not None)


def _sampling(found: "Inspection") -> dict[str, float]:
    """What the model's makers advise, as it stands in the file."""
    advice = found.header.sampling_defaults
    values = {name: getattr(advice, name) for name in ("temperature", "top_k", "top_p", "min_p", "repeat_penalty")}
    return {name: value for name, value in values.items() if value is not None}


def _advice(found: "Inspection") -> str:
    return ", ".join(f"{name} {value:g}" for name, value in _sampling(found).items())


def _licence(header: "GgufHeader") -> str:
    """What the file says: one of a name that is known, or its own name, and where it can be read."""
    kind, name, link = (header.text(f"general.license{part}") for part in ("", ".name", ".link"))
    known = None if kind == _OWN_LICENCE and name else kind
    return ", ".join(_line(said) for said in (known, name, link) if said)


def _refusal(found: "Inspection") -> str:
    """With the file's name, not its path: that of a remote header is no concern of the user's."""
    path = found.header.path
    return found.refusal.message.replace(path, Path(path).name) if found.refusal else ""


def _verdict(found: "Inspection") -> str:
    if found.refusal:
        return f"{_refusal(found)} {found.refusal.hint}".strip()
    return _("loads it, and corrects the token that ends an answer") if found.corrects_eos else _("loads it")


app = typer.Typer(name="inspect", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Show what a model's file is made of; works on the hub's files too."))(inspect)
