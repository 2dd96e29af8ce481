"""Models that see, in small: random weights, a text model and its projector each.

Keys and tensors are those that llama.cpp's mtmd reads (tools/mtmd/clip.cpp): `hunyuanvl` as HunyuanOCR has it, which lays a
picture out as a grid with M-RoPE, `idefics3` as SmolVLM has it, which cuts a picture into tiles, and `qwen3vl_merger`, whose
pictures take fewer positions than tokens and hand features to the text model's first layers too (deepstack).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np

from tests.tiny_models import CHATML, FAMILY_A, NO_FAULTS, Writer, attention, attention_with_norms, dense

TEXT_WIDTH: Final = 64
_WIDTH, _HEADS, _FEED_FORWARD, _LAYERS = 32, 2, 96, 2
_HUNYUAN: Final = replace(
    FAMILY_A,
    control=(*FAMILY_A.control, "<｜hy_place▁holder▁no▁100｜>", "<｜hy_place▁holder▁no▁101｜>"),
    template="{{ '<｜hy_begin▁of▁sentence｜>' }}{% for m in messages %}{{ m.content }}"
    "{% if m.role == 'system' %}{{ '<｜hy_place▁holder▁no▁3｜>' }}"
    "{% else %}{{ '<｜hy_User｜>' if m.role == 'user' else '<｜hy_Assistant｜>' }}{% endif %}{% endfor %}",
)
_SMOLVLM: Final = replace(
    CHATML,
    control=(
        *CHATML.control,
        "<fake_token_around_image>",
        "<global-img>",
        *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
    ),
    template="{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% for part in m.content %}{{ part.text if part.type == 'text' }}{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
)
_QWEN3_VL: Final = replace(
    CHATML, pre="qwen2", control=(*CHATML.control, "<|vision_start|>", "<|vision_end|>"), template=_SMOLVLM.template
)


def write_hunyuan_vl(folder: Path, *, width: int = TEXT_WIDTH) -> tuple[Path, Path]:
    """A model and its projector in a folder; with another `width` the projector is another model's."""
    model = _HunyuanVl(folder / "tiny-hunyuan-vl.gguf", "hunyuan_vl", _HUNYUAN, NO_FAULTS, 6)
    model.add_model(attention_with_norms, dense)
    projector = _Projector(folder / "mmproj-tiny-hunyuan-vl.gguf", "hunyuanvl", patch=16, image=448, seed=7)
    projector.add_encoder(positions=14 * 14)
    projector.add_perceiver(width)
    return model.close(), projector.close()


def write_smolvlm(
    folder: Path, *, width: int = TEXT_WIDTH, encoder_layers: int = _LAYERS, longest_side: int = 128
) -> tuple[Path, Path]:
    """As `write_hunyuan_vl`; a picture is scaled to `longest_side` pixels, and becomes tiles of 64 and one of the whole."""
    model = _SmolVlm(folder / "tiny-smolvlm.gguf", "llama", _SMOLVLM, NO_FAULTS, 8)
    model.add_model(attention, dense)
    projector = _Projector(
        folder / "mmproj-tiny-smolvlm.gguf", "idefics3", patch=8, image=64, seed=9, layers=encoder_layers
    )
    projector.add_encoder(positions=8 * 8)
    projector.gguf.add_uint32("clip.vision.projector.scale_factor", 2)
    projector.gguf.add_uint32("clip.vision.preproc_image_size", longest_side)
    projector.add("mm.model.fc.weight", width, 4 * _WIDTH)
    return model.close(), projector.close()


def write_qwen3_vl(folder: Path, *, width: int = TEXT_WIDTH) -> tuple[Path, Path]:
    """As `write_hunyuan_vl`; a picture of 448 pixels is a grid of 14 by 14 tokens."""
    model = _Qwen3Vl(folder / "tiny-qwen3-vl.gguf", "qwen3vl", _QWEN3_VL, NO_FAULTS, 10)
    model.add_model(attention_with_norms, dense)
    projector = _Projector(folder / "mmproj-tiny-qwen3-vl.gguf", "qwen3vl_merger", patch=16, image=448, seed=11)
    projector.gguf.add_array("clip.vision.is_deepstack_layers", [True] + [False] * (_LAYERS - 1))
    projector.add_encoder(positions=28 * 28, is_fused=True)
    projector.add("v.patch_embd.weight.1", _WIDTH, 3, 16, 16)  # for the second of two frames: a picture is both
    projector.add_merger(width)
    return model.close(), projector.close()


class _HunyuanVl(Writer):
    context_tokens = 4096

    def add_sizes(self) -> None:
        super().add_sizes()
        self.gguf.add_rope_dimension_sections([2, 2, 2, 2])
        self.gguf.add_rope_scaling_type(gguf.RopeScalingType.NONE)


class _SmolVlm(Writer):
    context_tokens = 4096


class _Qwen3Vl(Writer):
    context_tokens = 4096

    def add_sizes(self) -> None:
        super().add_sizes()
        self.gguf.add_rope_dimension_sections([4, 2, 2, 0])
        self.gguf.add_num_deepstack_layers(1)


class _Projector:
    def __init__(  # noqa: PLR0913 - the sizes of an encoder
        self, path: Path, kind: str, *, patch: int, image: int, seed: int, layers: int = _LAYERS
    ) -> None:
        self.path = path
        self.random = np.random.default_rng(seed)
        self.patch, self.layers = patch, layers
        self.gguf: Any = gguf.GGUFWriter(path, "clip")
        self.gguf.add_name(f"Tiny {kind} projector")
        self.gguf.add_type("mmproj")
        self.gguf.add_string("clip.projector_type", kind)
        self.gguf.add_bool("clip.has_vision_encoder", True)
        self.gguf.add_bool("clip.use_gelu", True)
        vision = "clip.vision"
        self.gguf.add_uint32(f"{vision}.image_size", image)
        self.gguf.add_uint32(f"{vision}.patch_size", patch)
        self.gguf.add_uint32(f"{vision}.embedding_length", _WIDTH)
        self.gguf.add_uint32(f"{vision}.feed_forward_length", _FEED_FORWARD)
        self.gguf.add_uint32(f"{vision}.block_count", layers)
        self.gguf.add_uint32(f"{vision}.attention.head_count", _HEADS)
        self.gguf.add_uint32(f"{vision}.projection_dim", TEXT_WIDTH)
        self.gguf.add_uint32(f"{vision}.spatial_merge_size", 2)
        self.gguf.add_uint32(f"{vision}.image_min_pixels", 64 * 64)
        self.gguf.add_uint32(f"{vision}.image_max_pixels", 512 * 512)
        self.gguf.add_float32(f"{vision}.attention.layer_norm_epsilon", 1e-5)
        self.gguf.add_array(f"{vision}.image_mean", [0.5, 0.5, 0.5])
        self.gguf.add_array(f"{vision}.image_std", [0.5, 0.5, 0.5])

    def add_encoder(self, *, positions: int, is_fused: bool = False) -> None:
        """A small ViT; `is_fused` has query, key and value in one tensor."""
        rows = {"attn_qkv": 3 * _WIDTH} if is_fused else dict.fromkeys(("attn_q", "attn_k", "attn_v"), _WIDTH)
        self.add("v.patch_embd.weight", _WIDTH, 3, self.patch, self.patch)
        self.add_vector("v.patch_embd.bias", _WIDTH)
        self.add("v.position_embd.weight", positions, _WIDTH)
        self.add_norm("v.post_ln")
        for layer in range(self.layers):
            block = f"v.blk.{layer}"
            for name, length in {**rows, "attn_out": _WIDTH}.items():
                self.add_linear(f"{block}.{name}", length, _WIDTH)
            self.add_norm(f"{block}.ln1")
            self.add_norm(f"{block}.ln2")
            self.add_linear(f"{block}.ffn_up", _FEED_FORWARD, _WIDTH)
            self.add_linear(f"{block}.ffn_down", _WIDTH, _FEED_FORWARD)

    def add_perceiver(self, width: int) -> None:
        """From the encoder's grid to the text model, as HunyuanOCR does it."""
        self.add("mm.0.weight", 2 * _WIDTH, _WIDTH, 2, 2)
        self.add_vector("mm.0.bias", 2 * _WIDTH)
        self.add("mm.2.weight", 4 * _WIDTH, 2 * _WIDTH, 1, 1)
        self.add_vector("mm.2.bias", 4 * _WIDTH)
        self.add("mm.model.fc.weight", width, 4 * _WIDTH)
        self.add_vector("mm.model.fc.bias", width)
        self.gguf.add_tensor("mm.pre_norm.weight", np.ones(_WIDTH, dtype=np.float32))
        self.gguf.add_tensor("mm.post_norm.weight", np.ones(width, dtype=np.float32))
        self.add_vector("mm.image_begin", width)
        self.add_vector("mm.image_end", width)
        self.add_vector("v.image_newline", 4 * _WIDTH)

    def add_merger(self, width: int) -> None:
        """From 2 by 2 patches to a token, as Qwen3-VL does it, at the end and after the first layer."""
        merged = 4 * _WIDTH
        for first, second in (("mm.0", "mm.2"), ("v.deepstack.0.fc1", "v.deepstack.0.fc2")):
            self.add_linear(first, merged, merged)
            self.add_linear(second, width, merged)
        self.add_norm("v.deepstack.0.norm", merged)

    def add_linear(self, name: str, rows: int, columns: int) -> None:
        self.add(f"{name}.weight", rows, columns)
        self.add_vector(f"{name}.bias", rows)

    def add(self, name: str, *shape: int) -> None:
        scale = np.float32(np.prod(shape[1:]) ** -0.5)
        self.gguf.add_tensor(name, self.random.standard_normal(shape, dtype=np.float32) * scale)

    def add_vector(self, name: str, length: int) -> None:
        self.gguf.add_tensor(name, self.random.standard_normal(length, dtype=np.float32) * np.float32(0.1))

    def add_norm(self, name: str, length: int = _WIDTH) -> None:
        self.gguf.add_tensor(f"{name}.weight", np.ones(length, dtype=np.float32))
        self.gguf.add_tensor(f"{name}.bias", np.zeros(length, dtype=np.float32))

    def close(self) -> Path:
        self.gguf.write_header_to_file()
        self.gguf.write_kv_data_to_file()
        self.gguf.write_tensors_to_file()
        self.gguf.close()
        return self.path
