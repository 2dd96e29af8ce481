"""Which builder fits a model, told from its GGUF's header."""

from collections.abc import Callable, Mapping
from typing import Final

from hychat.domain.errors import ModelRefused
from hychat.engine.prompt.hunyuan import HunyuanBuilder, family_a, family_b, hy_v3
from hychat.engine.prompt.jinja import JinjaBuilder, may_think
from hychat.engine.prompt.segments import PromptBuilder
from hychat.messages import _

_HUNYUAN_ARCHITECTURES: Final = ("hunyuan-dense", "hunyuan-moe")
_FAMILIES: Final[Mapping[str, tuple[Callable[..., HunyuanBuilder], str]]] = {
    "hunyuan-dense": (family_a, "<｜hy_Assistant｜>"),
    "hunyuan": (family_b, "<|extra_0|>"),
}
"""Builder, and the marker that every template of the family names, by `tokenizer.ggml.pre`."""


def builder_for(*, architecture: str, tokenizer_pre: str, template: str | None, bos: str, eos: str) -> PromptBuilder:
    """The builder for a model with this `general.architecture`, `tokenizer.ggml.pre` and chat template.

    A Hunyuan model without a template is a translation model (HY-MT1.5 is published so) and does not think. A Hunyuan
    model whose template names none of the family's markers was tuned on another layout: its template knows it.

    Raises:
        ModelRefused: There is no template, and the model is of no family that is known without one.
    """
    if architecture == "hy_v3":
        return hy_v3(has_suffix=":opensource" in (template or eos), bos=bos, eos=eos)
    if architecture in _HUNYUAN_ARCHITECTURES and tokenizer_pre in _FAMILIES:
        family, marker = _FAMILIES[tokenizer_pre]
        if template is None or marker in template:
            return family(can_think=template is not None and may_think(template))
    if template is None:
        raise ModelRefused(
            _("This model's file carries no chat template, so its chat layout is not known."),
            hint=_("Take the model's instruct or chat version."),
        )
    return JinjaBuilder(template, bos, eos)
