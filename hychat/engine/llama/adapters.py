"""LoRA adapters over a loaded model."""

import ctypes
import os
from collections.abc import Sequence
from typing import Any

from hychat.engine.llama.bindings import lib
from hychat.engine.llama.context import Context
from hychat.engine.llama.model import Model


class AdapterLoadError(Exception):
    """llama.cpp refused an adapter; names its path."""


class Adapters:
    """Those in use. Files stay loaded as long as the model, so that putting one back costs nothing."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._loaded: dict[str, Any] = {}
        self._in_use: list[tuple[str, float]] = []

    def use(self, adapters: Sequence[tuple[str, float]]) -> None:
        """Have these, each with its scale, in the place of those before.

        Raises:
            AdapterLoadError: llama.cpp refused one; those before stand.
        """
        for path, _scale in adapters:
            if path not in self._loaded:
                handle = lib.llama_adapter_lora_init(self._model.handle, os.fsencode(path))
                if not handle:
                    raise AdapterLoadError(path)
                self._loaded[path] = handle
        self._in_use = list(adapters)

    def put_over(self, context: Context) -> None:
        """Let a context compute with them from its next step on."""
        count = len(self._in_use)
        handles = (lib.llama_adapter_lora_p_ctypes * count)(*(self._loaded[path] for path, _scale in self._in_use))
        scales = (ctypes.c_float * count)(*(scale for _path, scale in self._in_use))
        lib.llama_set_adapters_lora(context.handle, handles, count, scales)
