"""`python -m tests.bench.echo_chat ANSWER [FILE]`: the chat with a scripted answer.

FILE gets a line for each time that its event loop did nothing else: when that ended, by the monotonic clock, and its seconds.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

from hychat.config.schema import Config
from hychat.domain.choices import SafetyLevel
from hychat.engine.echo import EchoEngine
from hychat.runtime import Runtime
from hychat.tui.app import HychatApp
from hychat.tui.desk import Desk

BEGIN: Final = "Incipit"
END: Final = "Explicit"
"""First and last words of every answer, which nothing else has."""
FAST: Final = "fast"
"""The answer that comes at `FAST_TOKENS_PER_SECOND`; the others come as fast as they can."""
FAST_TOKENS_PER_SECOND: Final = 1000
_CONTEXT_TOKENS: Final = 10**7
_TICK_SECONDS: Final = 0.005
_WORTH_TELLING_SECONDS: Final = 0.01

_LINE: Final = ("The sky scatters **blue** light 天空散射蓝光 because `x < y`, " * 3000)[:100_000]
_TABLE: Final = "| n | name | 值 |\n|---|---|---|\n" + "".join(f"| {n} | name {n} | {n * n} |\n" for n in range(10_000))
_PROSE: Final = """## Why the sky is blue

Light of **short** waves is scattered more than that of long ones, so the sky looks blue.
短波光比长波光散射得更强，所以天空是蓝色的。

1. Light comes from the sun.
2. The air scatters it.

```python
def scattered(wave: float) -> float:
    return 1 / wave**4
```

| colour | wave |
|---|---|
| blue | 450 nm |
| red | 700 nm |

"""


def _words(text: str) -> list[str]:
    return text.replace(" ", " \0").split("\0")


ANSWERS: Final[Mapping[str, Sequence[str]]] = {
    FAST: _words(_PROSE * 60),
    "line-at-once": [_LINE],
    "line-in-words": _words(_LINE),
    "table-at-once": [_TABLE],
    "table-in-rows": _TABLE.splitlines(keepends=True),
}
"""The pieces that each comes in."""


def engine(name: str) -> EchoEngine:
    """Says this answer, whatever it is asked."""
    pieces = [f"{BEGIN}\n\n", *ANSWERS[name], f"\n\n{END}"]
    pace = FAST_TOKENS_PER_SECOND if name == FAST else None
    return EchoEngine(lambda _prompt: pieces, context_tokens=_CONTEXT_TOKENS, tokens_per_second=pace)


async def _run(app: HychatApp, lags_file: str | None) -> None:
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(_tell_lags(Path(lags_file))) if lags_file else None
        await app.run_async()
        if watch is not None:
            watch.cancel()


async def _tell_lags(file: Path) -> None:
    last = perf_counter()
    with file.open("w", encoding="ascii", buffering=1) as told:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = perf_counter()
            lag = now - last - _TICK_SECONDS
            if lag > _WORTH_TELLING_SECONDS:
                told.write(f"{now} {lag}\n")
            last = now


def main() -> None:
    """Run the chat until its user leaves."""
    name, lags_file = sys.argv[1], next(iter(sys.argv[2:]), None)
    config = Config(model="echo", save=False, safety=SafetyLevel.OFF)
    desk = Desk(config, lambda: Runtime(config, open_engine=lambda _name: engine(name)))
    app = HychatApp(desk)
    asyncio.run(_run(app, lags_file))
    desk.close()
    if app.failure is not None:
        raise app.failure


if __name__ == "__main__":
    main()
