"""Small pictures of what goes with the next prompt, by whatever the terminal has: kitty's protocol, sixels, half blocks."""

import io
from collections.abc import Sequence
from typing import Final

from textual.containers import Horizontal
from textual.widget import Widget

from hychat.domain.attachment import Attachment

_MOST_SHOWN: Final = 4


class Previews(Horizontal):
    """A row of pictures; it takes no room where there are none."""

    DEFAULT_CSS = """
    Previews {
        height: auto;
        display: none;
        padding-left: 2;
        & > * { height: 6; width: auto; margin-right: 2; }
    }
    """

    async def show(self, pictures: Sequence[Attachment]) -> None:
        """Show the last few of these instead of what was shown."""
        shown = [_preview(picture) for picture in pictures[-_MOST_SHOWN:]]
        await self.remove_children()
        await self.mount_all(shown)
        self.display = bool(shown)


def _preview(picture: Attachment) -> Widget:
    from textual_image.widget import Image  # asks the terminal what it can, when it is imported first

    return Image(io.BytesIO(picture.data))
