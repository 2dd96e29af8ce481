"""Small pictures of what goes with the next prompt, by whatever the terminal has: kitty's protocol, sixels, half blocks."""

import asyncio
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from textual.containers import Horizontal
from textual.widget import Widget

from hychat.domain.attachment import Attachment

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_MOST_SHOWN: Final = 4
_MOST_ROWS: Final = 6
_MOST_COLUMNS: Final = 40


class Previews(Horizontal):
    """A row of pictures; it takes no room where there are none."""

    DEFAULT_CSS = """
    Previews {
        height: auto;
        display: none;
        padding-left: 2;
        & > * { margin-right: 2; }
    }
    """

    async def show(self, pictures: Sequence[Attachment]) -> None:
        """Show the last few of these instead of what was shown."""
        shown = [await _preview(picture) for picture in pictures[-_MOST_SHOWN:]]
        await self.remove_children()
        await self.mount_all(shown)
        self.display = bool(shown)


async def _preview(picture: Attachment) -> Widget:
    from textual_image._terminal import get_cell_size
    from textual_image.widget import Image  # asks the terminal what it can, when it is imported first

    cell = get_cell_size()
    most = (_MOST_COLUMNS * cell.width, _MOST_ROWS * cell.height)
    image = await asyncio.to_thread(_scaled, picture.data, most)  # to decode a large one takes as long as some keys
    preview = Image(image)
    preview.styles.width = max(1, round(image.width / cell.width))
    preview.styles.height = max(1, round(image.height / cell.height))
    return preview


def _scaled(data: bytes, most: tuple[int, int]) -> "Picture":
    """As large as fits into so many pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        scale = min(most[0] / image.width, most[1] / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        return image.resize(size, reducing_gap=2)
