"""The user's own editor, for a prompt that is long."""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from hychat.domain.errors import UsageError
from hychat.messages import _


def edited(text: str) -> str:
    """The text as the user leaves it in $VISUAL or $EDITOR.

    Raises:
        UsageError: There is no editor, or it ended with an error; the text stays as it was.
    """
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory(prefix="hychat-") as folder:
        file = Path(folder) / "prompt.md"
        file.write_text(text, encoding="utf-8")
        try:
            subprocess.run([*command, str(file)], check=True)  # noqa: S603 - the user's own choice
        except (OSError, subprocess.CalledProcessError) as error:
            raise UsageError(
                _("The editor {editor} did not work: {reason}.").format(editor=command[0], reason=error),
                hint=_("Set VISUAL or EDITOR to another one."),
            ) from error
        return file.read_text(encoding="utf-8", errors="replace").rstrip("\n")
