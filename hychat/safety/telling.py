"""What the filter says to the user: what it found, which part of it did, and what to do."""

from pathlib import Path
from typing import Final

from hychat.domain.choices import SafetyLevel
from hychat.domain.safety import SafetyAction, SafetyVerdict
from hychat.messages import _

_SUPPORT: Final = {
    "en": (
        "That sounds very hard, and you need not carry it alone. Please talk to somebody now: a friend, a doctor, or people "
        "who are there for this day and night. In immediate danger call your emergency number (112 in Europe, 911 in the US). "
        "In the US and Canada call or text 988, in the UK and Ireland call 116 123, in China call 12356; for other countries "
        "see https://findahelpline.com. I am a program on your machine, so I can listen but not help in an emergency."
    ),
    "zh": (
        "听起来您现在非常难受，您不必独自承担。请现在就和人说说：朋友、家人、医生，或者全天候的心理援助热线。"
        "在中国大陆可拨打全国统一心理援助热线 12356，或希望24热线 400-161-9995；遇到紧急危险请拨打 110 或 120。"
        "其他国家和地区见 https://findahelpline.com。我只是您电脑上的一个程序，可以听您说，但无法在紧急时帮助您。"
    ),
}
"""Where to turn; numbers as their operators publish them: 988lifeline.org, samaritans.org, nhc.gov.cn (12356), hope24.cn."""


def support_text(language: str) -> str:
    """For somebody who speaks of harming himself, in the language he wrote in."""
    return _SUPPORT["zh" if language == "zh" else "en"]


def category_name(category: str) -> str:
    """A category in the user's language."""
    return {
        "violence": _("violence"),
        "weapons": _("weapons and dangerous goods"),
        "self-harm": _("self-harm"),
        "sexual": _("sexual content"),
        "minors": _("sexual content and minors"),
        "hate": _("hate"),
        "harassment": _("harassment"),
        "privacy": _("privacy"),
        "fraud": _("fraud"),
        "malware": _("malware"),
        "drugs": _("drugs"),
        "jailbreak": _("instructions against the model's own"),
        "illegal": _("illegal acts"),
        "unethical": _("unethical acts"),
        "own": _("your own words"),
        "unread": _("the guard model could not be asked"),
    }.get(category, _("harm"))


def blocked_text(verdict: SafetyVerdict) -> str:
    """Why a question does not reach the model."""
    return _("The safety filter did not send this: {category}.").format(category=category_name(verdict.category))


def blocked_hint(verdict: SafetyVerdict) -> str:
    """Which part of the filter found what, and where to read on."""
    found = _("Found by: {layer}.").format(layer=_layer_name(verdict))
    if verdict.reason:
        found += "\n" + _("What was found: “{text}”").format(text=verdict.reason)
    return found + "\n" + _("More: /why in the chat. To switch the filter: /safety, or --safety.")


def event_text(verdict: SafetyVerdict) -> str:
    """What is told beside the chat."""
    name = category_name(verdict.category)
    match verdict.action:
        case SafetyAction.BLOCK:
            return _("The safety filter stopped the answer here: {category}.").format(category=name)
        case SafetyAction.WARN:
            return _("The model was asked to take care: {category}.").format(category=name)
        case SafetyAction.ALLOW if verdict.reason:
            return _("The guard model could not be asked: {reason}").format(reason=verdict.reason)
        case SafetyAction.SUPPORT | SafetyAction.ALLOW:
            return ""


def level_name(level: SafetyLevel) -> str:
    """A level in the user's language."""
    return {
        SafetyLevel.OFF: _("off"),
        SafetyLevel.STANDARD: _("standard"),
        SafetyLevel.STRICT: _("strict"),
    }[level]


def why_text(verdict: SafetyVerdict | None, level: SafetyLevel, own_words: Path) -> str:
    """What was found in the last turn, by which part of the filter, and what can be done."""
    if level is SafetyLevel.OFF:
        return _("The safety filter is off.")
    if verdict is None or verdict.action is SafetyAction.ALLOW:
        return _("The safety filter found nothing in the last question and its answer.")
    lines = [
        _action_text(verdict),
        _("Found by: {layer}.").format(layer=_layer_name(verdict)),
    ]
    if verdict.reason:
        lines.append(_("What was found: “{text}”").format(text=verdict.reason))
    if verdict.span:
        first, last = verdict.span
        lines.append(_("Where: characters {first} to {last}.").format(first=first + 1, last=last))
    if verdict.guard == "image":
        lines.append(_("If it is wrong: use another level: /safety."))
    else:
        text = _("If it is wrong: say it in another way, allow the phrase in {path}, or use another level: /safety.")
        lines.append(text.format(path=own_words))
    return "\n".join(lines)


def _action_text(verdict: SafetyVerdict) -> str:
    name = category_name(verdict.category)
    return {
        SafetyAction.BLOCK: _("Blocked: {category}."),
        SafetyAction.WARN: _("Let through with care: {category}."),
        SafetyAction.SUPPORT: _("Answered with help instead of the model: {category}."),
        SafetyAction.ALLOW: "",
    }[verdict.action].format(category=name)


def _layer_name(verdict: SafetyVerdict) -> str:
    names = {
        "words": _("the word lists"),
        "net": _("the small model"),
        "encoder": _("the encoder"),
        "guard": _("the guard model"),
        "image": _("the image filter"),
    }
    name = names.get(verdict.guard, verdict.guard)
    return (
        name
        if verdict.guard in {"words", "guard"}
        else _("{layer}, score {score:.2f}").format(layer=name, score=verdict.score)
    )
