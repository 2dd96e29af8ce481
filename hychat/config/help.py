"""What each key is for, in the user's language."""

from collections.abc import Callable, Mapping
from typing import Final

from hychat.messages import _

_HELP: Final[Mapping[str, Callable[[], str]]] = {
    "model": lambda: _("The model to talk to: a name of the catalogue, or the path of a GGUF file."),
    "language": lambda: _("The language hychat itself speaks; auto follows the locale."),
    "style": lambda: _("The manner of answers: formal, casual or friendly."),
    "system": lambda: _("What the model is told before every chat."),
    "temperature": lambda: _("How freely words are chosen, from 0.1 (the likeliest) to 1.0."),
    "top_k": lambda: _("Choose among the k likeliest tokens only; 0 does not limit."),
    "top_p": lambda: _("Choose among the likeliest tokens that together have this probability; 1.0 does not limit."),
    "min_p": lambda: _("Leave out tokens less likely than this share of the likeliest one; 0.0 leaves out none."),
    "repeat_penalty": lambda: _("How much less likely a recent token becomes; 1.0 changes nothing."),
    "seed": lambda: _("The same seed gives the same answer on the same machine; empty draws a new one each time."),
    "max_tokens": lambda: _("The longest answer, in tokens, thoughts included."),
    "context_tokens": lambda: _(
        "The most tokens that a chat and its answer may have together; more takes more memory."
    ),
    "threads": lambda: _("Processor threads to compute with."),
    "gpu_layers": lambda: _("Layers to put on GPUs or other devices, -1 for all; hychat puts as many as fit."),
    "n_cpu_moe": lambda: _(
        "Layers whose experts stay on the CPU, in a mixture of experts; hychat leaves as few as it must."
    ),
    "kv_type": lambda: _("How the KV cache is kept: f16, q8_0 in half of the memory, q4_0 in a quarter."),
    "tensor_split": lambda: _("What share of the layers each device gets, such as 3,1."),
    "main_gpu": lambda: _("The one device to use, where there are several, counted from 0."),
    "rpc": lambda: _("Machines to put layers on, as host:port with commas between; each runs hychat rpc-worker."),
    "lora": lambda: _("LoRA adapters to put over the model, as FILE[:scale] with commas between."),
    "mmproj": lambda: _("The projector (a GGUF file) with which the model sees; else the one beside it is used."),
    "think": lambda: _("Whether the model may think before it answers, where it can."),
    "safety": lambda: _("How much the safety filter stops: off, standard or strict."),
    "guard_model": lambda: _(
        "When a guard model that is on this machine rules too: strict (at that level), always, never."
    ),
    "keep_blocked": lambda: _("Whether what the safety filter blocked is written to a file of its own."),
    "save": lambda: _("Whether chats are kept."),
    "offline": lambda: _("Whether no network is used."),
    "theme": lambda: _("How the chat looks on the whole screen; auto takes a dark or a light theme."),
    "send_key": lambda: _("What sends a prompt: with ctrl+j, Enter begins a new line."),
    "mouse": lambda: _("Whether the chat takes the mouse; false leaves selecting to the terminal."),
    "color": lambda: _("Whether the terminal output is coloured; auto asks the terminal."),
}


def help_of(key: str) -> str:
    """One sentence."""
    return _HELP[key]()
