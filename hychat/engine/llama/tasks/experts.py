"""Which experts a mixture sends the tokens of a text to."""

from typing import Any

from hychat.engine.llama import chunks
from hychat.engine.llama.model import Model
from hychat.engine.llama.routing import Routing
from hychat.engine.task_host import CannotDo, Tell
from hychat.messages import _


def run(  # noqa: PLR0913 - what a user may say of it
    tell: Tell,
    *,
    model: str,
    text: str,
    experts: int,
    chunk_tokens: int,
    most_chunks: int | None,
    gpu_layers: int,
    threads: int | None,
) -> dict[str, Any]:
    """Read the text in chunks; `experts` is how many a layer of the model has.

    Returns:
        `tokens` read, and `layers`: of each its number, then how often each expert was chosen.

    Raises:
        CannotDo: The model or the text is not fit for it.
    """
    loaded = chunks.load(model, gpu_layers=gpu_layers)
    wanted = _cut(loaded, text, chunks.length(chunk_tokens, loaded))[:most_chunks]
    routing = Routing(experts)
    reader = chunks.Reader(loaded, max(map(len, wanted)), threads=threads, on_tensor=routing.callback)
    for done, chunk in enumerate(wanted):
        tell(done=done, total=len(wanted))
        for piece in chunks.pieces(chunk, 0):  # all logits, else the last layer computes only some rows
            reader.read(piece)
    tell(done=len(wanted), total=len(wanted))
    return {"tokens": sum(map(len, wanted)), "layers": routing.as_rows()}


def _cut(model: Model, text: str, chunk_tokens: int) -> list[list[int]]:
    """The text's tokens in chunks, each with the BOS that the vocabulary asks for; the last one may be shorter.

    Raises:
        CannotDo: There are none.
    """
    tokens = model.tokenize([(text, False)])
    if not tokens:
        raise CannotDo(_("There is nothing in the text to read."), _("Give a longer text."))
    step = chunk_tokens - len(model.with_bos(()))
    return [model.with_bos(tokens[start : start + step]) for start in range(0, len(tokens), step)]
