"""Makes what `test_convert_parity.py` holds conversion against, with transformers, tokenizers and tiktoken:

    convert.npz              logits that transformers computes with the tests' tiny checkpoints; ids of the lines' tokens
    convert_tokenizer.json   a byte-level vocabulary of 2,000 tokens, trained on the lines, that cuts text as family A does
    convert.tiktoken         the same for family B, as A13B's file of ranks

    pip install 'hychat[convert-test]' && python -m tests.parity.convert_reference

It is run once, when the tiny checkpoints or the lines change. It also checks that a checkpoint which transformers itself
saves has the names and shapes that the tiny ones have.
"""

import json
import os
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import tiktoken
import torch
from safetensors.numpy import load_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from tests.parity.convert_lines import lines
from tests.tiny_checkpoints import (
    ALL,
    FAMILY_A_SPLITS,
    FAMILY_B_SPLIT,
    LOGIT_IDS,
    Tiny,
    special_of_b,
    tokenizer_json,
    write_json,
    write_tiktoken,
)
from tests.tiny_models import FAMILY_A

HERE: Final = Path(__file__).parent
TOKENS: Final = 2000


def main() -> None:
    """Write the three files."""
    torch.manual_seed(0)
    results: dict[str, Any] = {name: _logits(tiny) for name, tiny in ALL.items()}
    results |= _family("a", _train_a()) | _family("b", _train_b())
    np.savez_compressed(HERE / "convert.npz", **results)


def _logits(tiny: Tiny) -> Any:
    with TemporaryDirectory() as folder:
        path = tiny.write(Path(folder) / "ours")
        model, told = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
        assert not told["missing_keys"], told
        assert not told["unexpected_keys"], told
        with torch.no_grad():
            logits = model.eval()(torch.tensor([LOGIT_IDS])).logits[0]
        theirs = Path(folder) / "theirs"
        model.save_pretrained(theirs)
        saved, ours = (
            {name: tensor.shape for name, tensor in load_file(folder / "model.safetensors").items()}
            for folder in (theirs, path)
        )
        assert saved == ours, (sorted(set(saved) ^ set(ours)), tiny.config["architectures"])
    return logits.numpy()


def _family(name: str, encoded: list[list[int]]) -> dict[str, Any]:
    """Ids of all lines one behind the other, and how many each has."""
    return {
        f"ids_{name}": np.array([*chain.from_iterable(encoded)], dtype=np.uint16),
        f"counts_{name}": np.array([len(ids) for ids in encoded], dtype=np.uint16),
    }


def _train(patterns: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Tokens and merges of a vocabulary that cuts text at these expressions."""
    tokenizer = Tokenizer(models.BPE())
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=TOKENS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(lines(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return sorted(model["vocab"], key=model["vocab"].get), [" ".join(pair) for pair in model["merges"]]


def _train_a() -> list[list[int]]:
    path = HERE / "convert_tokenizer.json"
    tokens, merges = _train(FAMILY_A_SPLITS)
    write_json(path, tokenizer_json(tokens, merges, FAMILY_A.control))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.fspath(path))
    return [tokenizer.encode(line, add_special_tokens=False) for line in lines()]


def _train_b() -> list[list[int]]:
    tokens, _merges = _train((FAMILY_B_SPLIT,))
    letters = {letter: byte for byte, letter in _letters().items()}
    ranks = [bytes(letters[letter] for letter in token) for token in tokens]
    write_tiktoken(HERE / "convert.tiktoken", ranks)
    encoding = tiktoken.Encoding(
        "family B",
        pat_str=FAMILY_B_SPLIT,
        mergeable_ranks={token: rank for rank, token in enumerate(ranks)},
        special_tokens={text: len(ranks) + number for number, text in enumerate(special_of_b())},
    )
    return [encoding.encode(line, allowed_special="all") for line in lines()]


def _letters() -> dict[int, str]:
    from hychat.conversion.byte_pairs import letters

    return letters()


if __name__ == "__main__":
    main()
