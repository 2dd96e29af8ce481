"""The process that reads text out of pictures: a line of JSON and a picture on stdin, a line of JSON on stdout."""

import json
import os
import sys
import threading
from queue import SimpleQueue
from typing import Any

from hychat.attach.ocr import text_in_image
from hychat.domain.errors import InputUnreadable
from hychat.messages import choose_language


def main(language: str) -> None:
    """Read pictures until nobody asks any more, and then end at once, whatever is being read."""
    choose_language(language)
    told = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what the packages print is for nobody
    asked: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    while True:
        name, picture = asked.get()
        told.write(json.dumps(_reply(picture, name)).encode() + b"\n")


def _listen(asked: "SimpleQueue[tuple[str, bytes]]") -> None:
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        asked.put((request["name"], sys.stdin.buffer.read(request["bytes"])))
    os._exit(0)


def _reply(picture: bytes, name: str) -> dict[str, Any]:
    try:
        return {"text": text_in_image(picture, name)}
    except InputUnreadable as error:
        return {"error": error.message, "hint": error.hint}
