"""A conversation as one HTML page that needs nothing else: no script, no other host, light or dark as the reader's screen.

What people and models wrote is escaped; of their Markdown neither HTML nor links to anything but pages and mail survive.
"""

from base64 import b64encode
from collections.abc import Iterator
from functools import cache
from html import escape
from typing import Any, Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from hychat.domain.attachment import Attachment
from hychat.domain.message import Conversation, FilePart, ImagePart, Message, Part, Role, TextPart, ThoughtPart
from hychat.domain.text import printable
from hychat.messages import _, language
from hychat.session.export import one_line, seen_title, stop_note

_PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""What a browser shows without running anything in it."""
_LINKS: Final = ("http:", "https:", "mailto:", "#")
_LANGUAGE_TAGS: Final = {"zh": "zh-CN"}
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What a browser may load: nothing but what is in the page."""

# System colours and translucent greys are right on a light and on a dark screen.
_STYLE: Final = """
:root { color-scheme: light dark; }
body { max-width: 46rem; margin: 0 auto; padding: 2.5rem 1.25rem; font: 1rem/1.6 system-ui, sans-serif;
  color: CanvasText; background: Canvas; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: .85rem; font-weight: 600; margin: 0 0 .5rem; opacity: .65; }
article { margin: 2.25rem 0; padding-inline-start: 1rem; border-inline-start: 3px solid transparent; }
article.user { border-color: LinkText; }
.said { white-space: pre-wrap; margin: 0; }
.facts, .note, summary { font-size: .85rem; opacity: .65; }
.answer h1, .answer h2, .answer h3, .answer h4 { font-size: 1.1rem; opacity: 1; margin: 1.25rem 0 .5rem; }
details { margin: 0 0 .75rem; }
summary { cursor: pointer; }
details > :not(summary) { margin-inline-start: 1rem; opacity: .8; }
pre { padding: .75rem 1rem; overflow-x: auto; border-radius: .4rem; background: rgb(128 128 128 / 14%); }
code { font: .9em/1.5 ui-monospace, monospace; }
:not(pre) > code { padding: .1em .3em; border-radius: .25em; background: rgb(128 128 128 / 14%); }
blockquote { margin: 1rem 0; padding-inline-start: 1rem; border-inline-start: 3px solid rgb(128 128 128 / 40%); }
table { display: block; overflow-x: auto; border-collapse: collapse; }
th, td { padding: .3rem .9rem .3rem 0; text-align: start; border-bottom: 1px solid rgb(128 128 128 / 30%); }
hr { border: 0; border-top: 1px solid rgb(128 128 128 / 30%); }
img { display: block; max-width: 100%; margin: .5rem 0 1rem; border-radius: .4rem; }
"""


def page_of(conversation: Conversation) -> str:
    """The branch on which the conversation stands."""
    title = one_line(printable(conversation.title)) or _("Conversation")
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="{_LANGUAGE_TAGS.get(language(), language())}">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="referrer" content="no-referrer">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{_STYLE}</style>",
            "</head>",
            "<body>",
            f"<h1>{escape(title)}</h1>",
            *_head(conversation),
            *(_article(message) for message in conversation.branch()),
            "</body>",
            "</html>",
            "",
        ]
    )


def _head(conversation: Conversation) -> Iterator[str]:
    started = f"{conversation.created:%Y-%m-%d %H:%M} UTC"
    facts = [_("Started: {moment}").format(moment=started)]
    if conversation.model:
        facts.append(_("Model: {model}").format(model=conversation.model))
    facts.append(_("Id: {id}").format(id=conversation.id))
    yield f'<p class="facts">{_escaped(" · ".join(facts))}</p>'
    if conversation.system:
        yield _folded(_("System"), f'<p class="said">{_escaped(conversation.system)}</p>')


def _article(message: Message) -> str:
    is_user = message.role is Role.USER
    inside = [f"<h2>{_escaped(_speaker(message))}</h2>", *_blocks(message)]
    if note := stop_note(message.stop):
        inside.append(f'<p class="note">{_escaped(note)}</p>')
    return "\n".join([f'<article class="{"user" if is_user else "model"}">', *inside, "</article>"])


def _speaker(message: Message) -> str:
    if message.role is Role.USER:
        return _("You")
    return message.receipt.model if message.receipt else _("Assistant")


def _blocks(message: Message) -> Iterator[str]:
    """Files and pictures, then the thought, then the words."""
    for part in message.parts:
        yield from _attached(part)
    if message.thought.strip():
        yield _folded(_("Thought"), f'<div class="answer">{_rendered(message.thought)}</div>')
    if not message.text.strip():
        return
    if message.role is Role.USER:  # as it was typed
        yield f'<p class="said">{_escaped(message.text)}</p>'
    else:
        yield f'<div class="answer">{_rendered(message.text)}</div>'


def _attached(part: Part) -> Iterator[str]:
    match part:
        case FilePart(attachment):
            name = _("File: {name}").format(name=one_line(attachment.name))
            yield _folded(name, f"<pre><code>{_escaped(attachment.text)}</code></pre>")
        case ImagePart(attachment):
            yield f'<p class="note">{_escaped(_("Image: {name}").format(name=one_line(attachment.name)))}</p>'
            yield from _picture(attachment)
            if title := seen_title(attachment):
                yield _folded(title, f'<p class="said">{_escaped(attachment.text)}</p>')
        case TextPart() | ThoughtPart():
            return


def _picture(attachment: Attachment) -> Iterator[str]:
    if attachment.data and attachment.media_type in _PICTURES:
        data = b64encode(attachment.data).decode("ascii")
        yield f'<img alt="{_escaped(attachment.name)}" src="data:{attachment.media_type};base64,{data}">'


def _folded(title: str, inside: str) -> str:
    return f"<details><summary>{_escaped(title)}</summary>\n{inside}\n</details>"


def _escaped(text: str) -> str:
    return escape(printable(text))


def _rendered(text: str) -> str:
    """Markdown as HTML."""
    return str(_markdown().render(printable(text)))


class _Markdown(MarkdownIt):
    """Follows no link but to pages and mail."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        return url.strip().lower().startswith(_LINKS)


@cache
def _markdown() -> MarkdownIt:
    parser = _Markdown("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image_in_words)
    return parser


def _image_in_words(_renderer: Any, tokens: list[Token], index: int, _options: Any, _env: Any) -> str:
    """A picture that somebody else keeps would tell them who reads the page."""
    image = tokens[index]
    return escape(f"{image.content} ({image.attrs['src']})".strip())
