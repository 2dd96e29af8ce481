"""The whole road of a recipe: from safetensors on a hub to a quantized GGUF."""

from pathlib import Path

import pytest

from hychat.engine.audit import audit
from hychat.engine.gguf import TENSOR_TYPES, read_header
from tests.hub import Hub
from tests.programs import run_hychat
from tests.tiny_checkpoints import MIXTURE

RECIPE = """\
name: whole-road
title: From safetensors to four bits
source: {repository: owner/Tiny-0.1B}
outtype: f16
imatrix: {text: text.txt, chunks: 1}
quantize: Q4_0
"""


@pytest.mark.timeout(60)
def test_a_recipe_goes_from_safetensors_on_the_hub_to_four_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = MIXTURE.write(tmp_path / "there", shards=2)
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "text.txt").write_text("The model reads 你好 and 2 + 2 = 4; hello, world!\n" * 60, encoding="utf-8")
    with Hub() as hub:
        hub.add("owner/Tiny-0.1B", {path.name: path.read_bytes() for path in checkpoint.iterdir()})
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        ended = run_hychat("gguf", "build", "recipe.yaml", "--threads", "1", "--json", cwd=tmp_path)
        assert ended.code == 0, ended.error
        assert ended.json["made"] == ["Tiny-0.1B-F16.gguf", "Tiny-0.1B.imatrix.gguf", "Tiny-0.1B-Q4_0.gguf"]
        header = read_header(str(tmp_path / "Tiny-0.1B-Q4_0.gguf"))
    assert audit(header).family.architecture == "hunyuan-moe"
    kinds = {tensor.name: TENSOR_TYPES[tensor.type_id].name for tensor in header.tensors}
    assert (kinds["blk.0.ffn_up_exps.weight"], kinds["blk.0.ffn_up_shexp.weight"]) == ("Q4_0", "Q8_0")
