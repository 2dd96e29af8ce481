"""Makes `vision.npz`: what transformers computes with the very weights of the tests' tiny SmolVLM.

    pip install torch transformers gguf pillow && python -m tests.parity.vision_reference

It is run once, when the tiny model changes; `test_vision_parity.py` holds llama.cpp's answer against the file.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import gguf
import numpy as np
import torch
from transformers import Idefics3Config, Idefics3ForConditionalGeneration

from tests.tiny_vision import write_smolvlm

FILE: Final = Path(__file__).with_name("vision.npz")
SIDE: Final = 64
"""The encoder's own, so that neither side scales the picture."""
BEFORE: Final = (40, 41, 42, 43)
AFTER: Final = (50, 51, 52)
"""Token ids around the picture."""
IMAGE_TOKENS: Final = 16
_HEADS, _KV_HEADS = 4, 2


def picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Rows by columns by colours."""
    return np.random.default_rng(20).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def main() -> None:
    """Write the logits of the last token."""
    with TemporaryDirectory() as folder:
        model, projector = (_tensors(path) for path in write_smolvlm(Path(folder), longest_side=SIDE))
    vocabulary = model["token_embd.weight"].shape[0]
    network = Idefics3ForConditionalGeneration(_config(vocabulary)).eval()
    missing = network.load_state_dict(_state(model, projector, vocabulary), strict=False)
    assert set(missing.missing_keys) <= {"lm_head.weight"}, missing
    assert not missing.unexpected_keys, missing
    network.lm_head.weight = network.model.text_model.embed_tokens.weight
    ids = torch.tensor([[*BEFORE, *[vocabulary] * IMAGE_TOKENS, *AFTER]])
    pixels = torch.tensor(picture(), dtype=torch.float32).permute(2, 0, 1) / 255
    with torch.no_grad():
        logits = network(input_ids=ids, pixel_values=((pixels - 0.5) / 0.5)[None, None]).logits[0, -1, :vocabulary]
    np.savez_compressed(FILE, logits=logits.numpy())


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    reader: Any = gguf.GGUFReader(path)
    return {
        t.name: torch.tensor(np.array(t.data, dtype=np.float32)).reshape(tuple(t.shape[::-1])) for t in reader.tensors
    }


def _config(vocabulary: int) -> Any:
    """The sizes of the tiny model; one more token stands for the picture."""
    text = {
        "model_type": "llama", "vocab_size": vocabulary + 1, "hidden_size": 64, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": _HEADS, "num_key_value_heads": _KV_HEADS, "head_dim": 16,
        "rms_norm_eps": 1e-5, "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}, "pad_token_id": 0,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": SIDE,
        "patch_size": 8, "layer_norm_eps": 1e-5, "hidden_act": "gelu_pytorch_tanh",
    }  # fmt: skip
    return Idefics3Config(
        text_config=text, vision_config=vision, scale_factor=2, image_token_id=vocabulary, tie_word_embeddings=True
    )


def _state(model: dict[str, Any], projector: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    embeddings = torch.cat([model["token_embd.weight"], torch.zeros(1, 64)])
    assert len(embeddings) == vocabulary + 1
    state = {
        "model.text_model.embed_tokens.weight": embeddings,
        "model.text_model.norm.weight": model["output_norm.weight"],
        "model.connector.modality_projection.proj.weight": projector["mm.model.fc.weight"],
        "model.vision_model.embeddings.patch_embedding.weight": projector["v.patch_embd.weight"],
        "model.vision_model.embeddings.patch_embedding.bias": projector["v.patch_embd.bias"],
        "model.vision_model.embeddings.position_embedding.weight": projector["v.position_embd.weight"],
        "model.vision_model.post_layernorm.weight": projector["v.post_ln.weight"],
        "model.vision_model.post_layernorm.bias": projector["v.post_ln.bias"],
    }
    for layer in range(2):
        theirs, ours = f"model.text_model.layers.{layer}", f"blk.{layer}"
        state[f"{theirs}.self_attn.q_proj.weight"] = _unpaired(model[f"{ours}.attn_q.weight"], _HEADS)
        state[f"{theirs}.self_attn.k_proj.weight"] = _unpaired(model[f"{ours}.attn_k.weight"], _KV_HEADS)
        for name, other in (("v_proj", "attn_v"), ("o_proj", "attn_output")):
            state[f"{theirs}.self_attn.{name}.weight"] = model[f"{ours}.{other}.weight"]
        for name in ("gate", "up", "down"):
            state[f"{theirs}.mlp.{name}_proj.weight"] = model[f"{ours}.ffn_{name}.weight"]
        state[f"{theirs}.input_layernorm.weight"] = model[f"{ours}.attn_norm.weight"]
        state[f"{theirs}.post_attention_layernorm.weight"] = model[f"{ours}.ffn_norm.weight"]
        theirs, ours = f"model.vision_model.encoder.layers.{layer}", f"v.blk.{layer}"
        for kind in ("weight", "bias"):
            for name, other in (
                ("q_proj", "attn_q"),
                ("k_proj", "attn_k"),
                ("v_proj", "attn_v"),
                ("out_proj", "attn_out"),
            ):
                state[f"{theirs}.self_attn.{name}.{kind}"] = projector[f"{ours}.{other}.{kind}"]
            state[f"{theirs}.mlp.fc1.{kind}"] = projector[f"{ours}.ffn_up.{kind}"]
            state[f"{theirs}.mlp.fc2.{kind}"] = projector[f"{ours}.ffn_down.{kind}"]
            state[f"{theirs}.layer_norm1.{kind}"] = projector[f"{ours}.ln1.{kind}"]
            state[f"{theirs}.layer_norm2.{kind}"] = projector[f"{ours}.ln2.{kind}"]
    return state


def _unpaired(weight: Any, heads: int) -> Any:
    """GGUF's llama turns neighbouring dimensions, transformers' halves: the order between the two."""
    return weight.reshape(heads, weight.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(weight.shape)


if __name__ == "__main__":
    main()
