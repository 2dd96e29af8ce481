from hychat.config.help import help_of
from hychat.config.schema import KEYS


def test_every_key_says_what_it_is_for() -> None:
    assert all(help_of(key).endswith(".") for key in KEYS)
