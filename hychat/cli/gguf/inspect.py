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
    from hychat.conversion.inspect import Inspection, TensorGroup
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

_BAR_COLUMNS: Final = 72
_SHADES: Final = "█▓▒░▚▞▖·"
_COLOURS: Final = (34, 36, 32, 33, 35, 31, 37, 90)
"""By group, in the order of `GROUP_NAMES`."""


def inspect(model: _Model, *, template: _Template = False, mirror: _Mirror = None, as_json: _Json = False) -> None:
    """Look, and print."""
    from hychat.conversion.inspect import inspect as inspected

    output = Output.of_process()
    with headers_of(model, mirror) as parts:
        found = inspected(parts)
        if template:
            if found.header.chat_template is None:
                raise HychatError(_("{name} has no chat template.").format(name=model))
            output.text(found.header.chat_template)
        elif as_json:
            output.json(_as_json(model, found))
        else:
            _tell(model, found, output)


@contextmanager
def headers_of(name: str, mirror: str | None = None) -> "Iterator[tuple[GgufHeader, ...]]":
    """The headers of a model's parts: of the file on this machine, else of the one on the hub.

    Raises:
        ModelNotFound: There is no such file, or model.
        ModelUnusable: It is no GGUF.
        DownloadError: The hub cannot be asked, or has no such file.
    """
    from hychat.catalogue.find import is_path, locate
    from hychat.catalogue.hub import hub_endpoint
    from hychat.catalogue.pulling import wanted
    from hychat.catalogue.remote_header import remote_headers
    from hychat.domain.errors import ModelNotFound
    from hychat.engine.gguf import all_parts, read_header

    try:
        local = locate(name)
    except ModelNotFound:
        if is_path(name) and not name.startswith("hf:"):
            raise
        endpoint = hub_endpoint(mirror)
        found = wanted(name, endpoint)
        with remote_headers(found.files[: found.part_count], endpoint) as headers:
            yield headers
    else:
        yield all_parts(read_header(local.path))


def _as_json(name: str, found: "Inspection") -> dict[str, object]:
    header = found.header
    return {
        "model": name,
        "file": Path(header.path).name,
        "gguf_version": header.version,
        "parts": found.parts,
        "architecture": header.architecture,
        "name": header.text("general.name"),
        "licence": header.text("general.license"),
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
        },
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
        "refusal": found.refusal or None,
    }


def _tell(name: str, found: "Inspection", output: Output) -> None:
    from hychat.cli.model_info import table

    output.text(table(_facts(name, found)))
    output.styled("")
    columns = min(_BAR_COLUMNS, output.stdout.size().columns if output.stdout.is_terminal else _BAR_COLUMNS)
    _draw(found, columns, output)
    for line in _group_rows(found):
        output.marked(line[0], line[1], sgr=line[2])


def _facts(name: str, found: "Inspection") -> "list[Fact]":
    from hychat.catalogue.download import size
    from hychat.cli.model_info import Fact

    header, tokenizer = found.header, found.header.text("tokenizer.ggml.model")
    parameters = _count(found.parameters)
    if found.active_parameters != found.parameters:
        active = _("{count} of them for each token").format(count=_count(found.active_parameters))
        parameters = f"{parameters}, {active}"
    experts = _("{count}, of which each token uses {used}, and {shared} for all").format(
        count=header.expert_count, used=header.expert_used_count, shared=header.expert_shared_count
    )
    special = ", ".join(
        f"{kind} {header.token_text(token)}"
        for kind, token in (("BOS", header.bos_token_id), ("EOS", header.eos_token_id))
        if token is not None
    )
    template = header.chat_template
    length = _("{count} characters; --template prints it").format(count=len(template or ""))
    facts = [
        Fact.of("model", _("model"), name),
        Fact.of("name", _("name"), header.text("general.name")),
        Fact.of("architecture", _("architecture"), header.architecture),
        Fact.of("parameters", _("parameters"), parameters),
        Fact.of("experts", _("experts"), header.expert_count, experts),
        Fact.of("size", _("size"), found.bytes, _size_and_bits(found)),
        Fact.of("parts", _("files"), found.parts if found.parts > 1 else None),
        Fact.of("layers", _("layers"), header.block_count),
        Fact.of("context", _("trained context"), header.context_tokens),
        Fact.of("kv", _("KV cache per token"), header.kv_bytes_per_token(), size(header.kv_bytes_per_token())),
        Fact.of("tokenizer", _("tokenizer"), tokenizer, f"{tokenizer} ({header.tokenizer_pre}), {header.vocabulary_size:,}"),
        Fact.of("tokens", _("special tokens"), special),
        Fact.of("template", _("chat template"), template, length),
        Fact.of("licence", _("licence"), header.text("general.license")),
        Fact.of("verdict", "hychat", "x", found.refusal or _("loads it")),
    ]  # fmt: skip
    return [fact for fact in facts if fact.value]


def _size_and_bits(found: "Inspection") -> str:
    from hychat.catalogue.download import size

    bits = _("{bits:.2f} bits a weight, most in {type}").format(bits=found.bits_per_weight, type=found.main_type)
    return f"{size(found.bytes)}, {bits}"


def _draw(found: "Inspection", columns: int, output: Output) -> None:
    """A bar of where the bytes are; groups too small for a column are left out."""
    ends, done, bar = [], 0, ""
    for group in found.groups:
        done += group.bytes
        ends.append(round(columns * done / max(1, found.bytes)))
    start = 0
    for group, end in zip(found.groups, ends, strict=True):
        run = _shade(group) * (end - start)
        bar += f"\x1b[{_colour(group)}m{run}\x1b[0m" if output.stdout.has_colour and run else run
        start = end
    output.styled(bar)


def _group_rows(found: "Inspection") -> Iterator[tuple[str, str, str]]:
    from rich.cells import cell_len

    from hychat.catalogue.download import size

    names = group_names()
    width = max(cell_len(names[group.name]) for group in found.groups)
    for group in found.groups:
        share = f"{100 * group.bytes / max(1, found.bytes):5.1f}%"
        types = ", ".join(name for name, _bytes in group.types)
        pad = " " * (width - cell_len(names[group.name]))
        bits = f"{group.bits_per_weight:5.2f}"
        text = f" {names[group.name]}{pad} {share} {size(group.bytes):>9} {_count(group.elements):>8} {bits}  {types}"
        yield _shade(group), text, str(_colour(group))


def group_names() -> dict[str, str]:
    """What the groups of tensors are called."""
    return {
        "embeddings": _("embeddings, output"),
        "attention": _("attention"),
        "feed_forward": _("feed-forward"),
        "experts": _("experts"),
        "shared": _("shared experts"),
        "router": _("router"),
        "norms": _("norms"),
        "others": _("others"),
    }


def _shade(group: "TensorGroup") -> str:
    return _SHADES[_place(group)]


def _colour(group: "TensorGroup") -> int:
    return _COLOURS[_place(group)]


def _place(group: "TensorGroup") -> int:
    from hychat.conversion.inspect import GROUP_NAMES

    return GROUP_NAMES.index(group.name)


def _count(parameters: int) -> str:
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if parameters >= size:
            return f"{parameters / size:.1f} {unit}"
    return str(parameters)


app = typer.Typer(name="inspect", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Show what a model's file is made of; works on the hub's files too."))(inspect)
