"""Signed links to one decision: whoever has the link may approve or reject that attempt of that step, nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.core import signing
from django.urls import reverse

from runs.domain.outcomes import StepKey

# The salt binds the signature to this purpose: a token that was signed for another one is not a valid link.
_SALT = "stepwise.approval"
LASTS_SECONDS = 7 * 86400


class Forged(Exception):
    """The link was not signed by this installation, or was changed."""


class Late(Exception):
    """The signature is valid, but the link is older than LASTS_SECONDS."""


@dataclass(frozen=True)
class Link:
    """The subject of a link: one attempt of one step."""

    step_key: StepKey
    attempt: int


def path(link: Link) -> str:
    """Return the link as a URL path of this site; it expires in LASTS_SECONDS."""
    run_id, step, item = link.step_key
    return reverse("approval-link", args=[signing.dumps([str(run_id), step, item, link.attempt], salt=_SALT)])


def read(token: str) -> Link:
    """Return the subject of the link that has this token. Raises Forged, Late."""
    try:
        run_id, step, item, attempt = signing.loads(token, salt=_SALT, max_age=LASTS_SECONDS)
        return Link((UUID(run_id), str(step), int(item)), int(attempt))
    except signing.SignatureExpired:
        raise Late from None
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        raise Forged from None
