"""What espeak-ng says for the tests, and how: `python -m tests.speech` makes both recordings anew (apt install espeak-ng).

A version of espeak-ng always says the same; these are by 1.51.
"""

import subprocess
from io import BytesIO
from pathlib import Path
from typing import Final

DATA: Final = Path(__file__).parent / "data"
SPEECH: Final = DATA / "speech.wav"
SAID: Final = "The keeper walked along the shore every morning. He carried bread and a letter from his brother."
STORY: Final = DATA / "story.flac"
TOLD: Final = (
    f"{SAID} When the wind came from the west, the boats stayed in the bay, and the children helped to mend the nets. "
    "On Friday evening a small ship with two masts arrived from the north. Her captain asked for water, for oranges, "
    "and for news of the war. Nobody in the village had heard of any war. They gave him many barrels of water and a "
    "basket of fruit, and he paid with silver coins that were older than the church. In the night the ship left without "
    "a light. The keeper wrote the date into his book, closed the window, and went to bed. In the morning the letter on "
    "the table was gone, and in its place lay a single white feather."
)
"""No word of it is spelled in two ways, and no number: what is counted is what was heard wrong."""
_VOICE: Final = ("-v", "en-gb", "-s", "150")
"""Words a minute."""
_RATE_HZ: Final = 16_000


def main() -> None:
    """Make both."""
    for text, path, codec in ((SAID, SPEECH, "pcm_s16le"), (TOLD, STORY, "flac")):
        spoken = subprocess.run(["espeak-ng", *_VOICE, "--stdout", text], check=True, capture_output=True).stdout
        path.write_bytes(_encoded(spoken, path.suffix[1:], codec))


def _encoded(wav: bytes, container: str, codec: str) -> bytes:
    """At 16 kHz, without a tag that would tell who made it."""
    import av

    buffer = BytesIO()
    with av.open(BytesIO(wav), format="wav") as source, av.open(buffer, "w", format=container) as target:
        stream = target.add_stream(codec, rate=_RATE_HZ)
        stream.layout = "mono"
        stream.codec_context.flags |= av.codec.context.Flags.bitexact
        target.container_options["fflags"] = "+bitexact"
        resampler = av.AudioResampler(format="s16", layout="mono", rate=_RATE_HZ)
        for frame in [*source.decode(audio=0), None]:
            for piece in resampler.resample(frame):
                target.mux(stream.encode(piece))
        target.mux(stream.encode(None))
    return buffer.getvalue()


if __name__ == "__main__":
    main()
