"""A picture and words through llama.cpp, against transformers with the same weights."""

import io
import math
from base64 import b64encode
from pathlib import Path

import numpy as np
from PIL import Image

from hychat.engine.llama.bindings import lib
from hychat.engine.llama.context import Context, Entry
from hychat.engine.llama.sequence import Chunk
from hychat.engine.llama.vision import Vision
from tests.desk import load_quietly
from tests.tiny_vision import write_smolvlm

_FILE = Path(__file__).parent / "parity" / "vision.npz"
_SIDE, _BEFORE, _AFTER = 64, [40, 41, 42, 43], [50, 51, 52]  # as tests/parity/vision_reference.py has them


def test_the_logits_after_a_picture_are_those_of_transformers(tmp_path: Path) -> None:
    model_path, projector = write_smolvlm(tmp_path, longest_side=_SIDE)
    model = load_quietly(str(model_path))
    vision = Vision(model, str(projector), threads=1)
    context = Context(model, tokens=256, slots=1, threads=1, abort=vision.abort)
    pixels = np.random.default_rng(20).integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    *_tiles, chunk = [item for item in vision.items(b64encode(file.getvalue()).decode(), 0) if isinstance(item, Chunk)]
    assert len(chunk.ids) == 16

    vision.encode(chunk, lambda _share: None)
    context.decode([Entry(0, 0, _BEFORE, wants_logits=False)])
    vision.read(context, 0, chunk, len(_BEFORE))
    context.decode([Entry(0, len(_BEFORE) + chunk.n_positions, _AFTER, wants_logits=True)])
    ours = list(lib.llama_get_logits_ith(context.handle, -1)[: model.vocab_size])

    theirs = np.load(_FILE)["logits"].tolist()
    assert math.dist(ours, theirs) / math.hypot(*theirs) < 2e-2
