"""Where a model comes from and under which licence: the head of its README, and the repository it was fetched from."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hychat.conversion.checkpoint import read_json_if_there

_CARD: Final = "README.md"
_HUB: Final = "https://huggingface.co"
_SNAPSHOT: Final = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{40})$")
_CARD_LIMIT_BYTES: Final = 1 << 20
_MOST: Final = 1 << 20
_SAMPLING: Final = {
    "temperature": "temp",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repetition_penalty": "penalty_repeat",
}
"""Names in `generation_config.json`, and in a GGUF below `general.sampling`."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is told of a model."""

    name: str
    organization: str
    source_url: str
    """Of the repository at its commit; empty where it is not known."""
    facts: dict[str, Any]
    """The head of the README."""
    sampling: dict[str, float]

    def add_to(self, writer: Any) -> None:
        """Write the keys of `general`; what is empty is left out."""
        writer.add_type("model")
        writer.add_name(self.name)
        writer.add_organization(self.organization)
        writer.add_source_url(self.source_url)
        writer.add_license(self._text("license"))
        writer.add_license_name(self._text("license_name"))
        writer.add_license_link(self._text("license_link"))
        writer.add_languages(self._texts("language"))
        writer.add_tags(self._texts("tags"))
        for name, value in self.sampling.items():
            if name == "top_k":
                writer.add_int32(f"general.sampling.{name}", int(value))
            else:
                writer.add_float32(f"general.sampling.{name}", value)

    def _text(self, key: str) -> str:
        return next(iter(self._texts(key)), "")

    def _texts(self, key: str) -> list[str]:
        value = self.facts.get(key)
        return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]


def read_card(folder: Path) -> Card:
    """What is known of the checkpoint in a folder; a README that cannot be read says nothing.

    Raises:
        InputUnreadable: Its `generation_config.json` is damaged.
    """
    folder = folder.resolve()
    owner, name, commit = _snapshot(folder)
    return Card(
        name=name or folder.name,
        organization=owner,
        source_url=f"{_HUB}/{owner}/{name}/tree/{commit}" if name else "",
        facts=_head_of(folder / _CARD),
        sampling=_sampling(read_json_if_there(folder / "generation_config.json")),
    )


def _snapshot(folder: Path) -> tuple[str, str, str]:
    """Owner, name and commit, where the folder is one of the hub's cache."""
    found = _SNAPSHOT.search(folder.as_posix())
    return (found[1], found[2], found[3]) if found else ("", "", "")


def _head_of(readme: Path) -> dict[str, Any]:
    """The YAML between two lines of dashes."""
    import yaml

    try:
        with readme.open(encoding="utf-8") as file:
            text = file.read(_CARD_LIMIT_BYTES)
        head = re.match(r"---\s*\n(.*?)\n---\s*\n", text, re.DOTALL)
        facts = yaml.safe_load(head[1]) if head else None
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _sampling(generation: dict[str, Any]) -> dict[str, float]:
    """What the makers advise."""
    if generation.get("do_sample") is False:
        return {}
    advised: dict[str, Any] = {ours: generation.get(theirs) for theirs, ours in _SAMPLING.items()}
    return {name: value for name, value in advised.items() if type(value) in {int, float} and abs(value) < _MOST}
