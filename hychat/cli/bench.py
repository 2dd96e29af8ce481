"""`hychat bench`: how fast a model reads and writes on this machine."""

import os
from dataclasses import dataclass
from functools import partial
from statistics import mean, stdev
from typing import Annotated

import typer

from hychat.cli import options, typed
from hychat.cli.commands import Command
from hychat.cli.output import Output
from hychat.config.load import load
from hychat.messages import _, ngettext
from hychat.paths import config_file

_number = partial(typer.Option, metavar=_("NUMBER"), min=1)
_Model = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        help=_("The model to measure: a name, hf:owner/repository, or the path of a GGUF file."),
        metavar=_("MODEL"),
        autocompletion=typed.model_names,
    ),
]
_Prompt = Annotated[int, _number("-p", "--prompt-tokens", help=_("Tokens to read."))]
_Generated = Annotated[int, _number("-g", "--generated-tokens", help=_("Tokens to write."))]
_Repetitions = Annotated[int, _number("-r", "--repetitions", help=_("How often to measure."))]
_Threads = Annotated[str | None, typer.Option("--threads", help=_("Processor threads to use."), metavar=_("NUMBER"))]
_Json = Annotated[bool, typer.Option("--json", help=_("Print JSON."))]


@dataclass(frozen=True, slots=True)
class _Row:
    """One test, named as llama-bench names it."""

    test: str
    speeds: tuple[float, ...]

    @property
    def deviation(self) -> float:
        """Standard deviation of the repetitions."""
        return stdev(self.speeds) if len(self.speeds) > 1 else 0.0


def bench(  # noqa: PLR0913 - one parameter an option
    ctx: typer.Context,
    model: _Model = None,
    prompt_tokens: _Prompt = 512,
    generated_tokens: _Generated = 128,
    repetitions: _Repetitions = 5,
    threads: _Threads = None,
    gpu_layers: options.GpuLayers = None,
    n_cpu_moe: options.CpuExperts = None,
    kv_type: options.KvType = None,
    tensor_split: options.TensorSplit = None,
    main_gpu: options.MainGpu = None,
    rpc: options.Rpc = None,
    as_json: _Json = False,
) -> None:
    """Measure, and print a table or JSON."""
    from hychat.runtime import Runtime  # completion and help do without it

    placing = {
        "gpu_layers": gpu_layers,
        "n_cpu_moe": n_cpu_moe,
        "kv_type": kv_type,
        "tensor_split": tensor_split,
        "main_gpu": main_gpu,
        "rpc": rpc,
    }
    config = load(config_file(), os.environ).over({"model": model, "threads": threads, **placing})
    output = Output.of_process()
    runtime = Runtime(config, spawned=ctx.obj)
    try:
        name, metadata, result = runtime.measure(prompt_tokens, generated_tokens, repetitions)
    finally:
        runtime.close()
    rows = (_Row(f"pp{prompt_tokens}", result.prefill), _Row(f"tg{generated_tokens}", result.decode))
    if as_json:
        output.json({"model": name, **metadata, "tests": [_row_as_json(row) for row in rows]})
    else:
        output.text(_table(name, int(metadata.get("threads", 1)), rows))


def _row_as_json(row: _Row) -> dict[str, object]:
    return {
        "test": row.test,
        "tokens_per_second": round(mean(row.speeds), 2),
        "deviation": round(row.deviation, 2),
        "repetitions": [round(speed, 2) for speed in row.speeds],
    }


def _table(name: str, threads: int, rows: tuple[_Row, ...]) -> str:
    head = ngettext("{model}, {threads} thread", "{model}, {threads} threads", threads).format(
        model=name, threads=threads
    )
    lines = [f"{row.test:>8}  {mean(row.speeds):10.2f} ± {row.deviation:.2f} tok/s" for row in rows]
    return "\n".join([head, *lines])


app = typer.Typer(name="bench", rich_markup_mode=None, add_completion=False)
app.command(cls=Command, help=_("Measure how fast a model reads and writes here."))(bench)
