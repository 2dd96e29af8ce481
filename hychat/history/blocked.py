"""What was blocked, in a file of its own, for those who want that kept."""

import json
import os
from dataclasses import asdict
from pathlib import Path

from hychat.domain.errors import HychatError
from hychat.domain.message import now
from hychat.domain.safety import SafetyVerdict
from hychat.messages import _
from hychat.paths import private_folder


def keep_blocked(path: Path, verdict: SafetyVerdict, text: str) -> None:
    """Add a line to the file, which its owner alone may read.

    Raises:
        HychatError: It cannot be written.
    """
    line = json.dumps({"time": now().isoformat(), "text": text, **asdict(verdict)}, ensure_ascii=False)
    try:
        private_folder(path.parent)
        with open(path, "a", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(line + "\n")
    except OSError as error:
        raise HychatError(
            _("{path} cannot be written: {reason}.").format(path=path, reason=error.strerror or error)
        ) from error
