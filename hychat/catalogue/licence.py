"""What a licence asks for, and whether it was agreed to."""

from hychat.catalogue import records
from hychat.domain.model import Licence
from hychat.messages import _, language


def must_be_agreed_to(licence: Licence | None) -> bool:
    """Whether it asks for a yes before the first download, and nobody gave it yet."""
    return licence is not None and licence.needs_acknowledgement and not records.is_accepted(licence.id)


def terms_of(licence: Licence) -> str:
    """What it asks for, in the user's language, with the places where it grants nothing and the link."""
    lines = [licence.title, licence.terms.get(language()) or licence.terms.get("en", "")]
    if licence.excluded_regions:
        lines.append(_("Not granted in: {regions}").format(regions=", ".join(licence.excluded_regions)))
    if licence.url:
        lines.append(licence.url)
    return "\n".join(line.strip() for line in lines if line)
