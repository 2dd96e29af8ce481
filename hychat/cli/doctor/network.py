"""The network: whether the hub and its mirror answer, asked as a download would ask."""

import os
from collections.abc import Iterator
from typing import Final

from hychat.catalogue.hub import host_of, hub_endpoint, is_offline, trouble_with
from hychat.cli.doctor.finding import Finding, Surroundings, error, ok, warn
from hychat.config.load import what_is_said
from hychat.messages import _
from hychat.paths import config_file

MIRROR: Final = "https://hf-mirror.com"


def reachability(around: Surroundings) -> Iterator[Finding]:
    """The hub, then the mirror, which helps where the hub cannot be reached."""
    if is_offline():
        yield warn("hub", _("hychat is offline as you wish: no hub is asked"), _how_to_go_online())
        return
    hub, mirror = hub_endpoint(), around.mirror.rstrip("/")
    hub_trouble, mirror_trouble = trouble_with(hub), trouble_with(mirror)
    check_network = _("Check the network and the proxy settings (HTTPS_PROXY).")
    if hub_trouble:
        fix = check_network if mirror_trouble else f"export HF_ENDPOINT={mirror}"
        yield error("hub", hub_trouble, fix, endpoint=hub)
    else:
        yield ok("hub", _("{host} answers").format(host=host_of(hub)), endpoint=hub)
    if mirror_trouble:
        yield warn("mirror", mirror_trouble, check_network, endpoint=mirror)
    else:
        yield ok("mirror", _("{host} answers").format(host=host_of(mirror)), endpoint=mirror)


def _how_to_go_online() -> str:
    """What takes back the wish, by who said it."""
    wish = what_is_said(config_file(), os.environ).get("offline")
    if wish is None or not wish.value:
        return _("Leave out --offline; unset HF_HUB_OFFLINE")
    return "hychat config set offline false" if wish.origin == "file" else f"unset {wish.origin}"
