"""Lines of JSON that others wrote."""

import json
from typing import Any

from hychat.messages import _


def value_of(line: str) -> Any:
    """What a line says.

    Raises:
        ValueError: It is not JSON, or lies deeper in brackets than can be read.
    """
    try:
        return json.loads(line)
    except RecursionError as error:
        raise ValueError(_("it is nested too deeply")) from error
