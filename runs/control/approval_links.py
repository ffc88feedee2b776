"""Signed links to one decision: whoever has one may approve or reject that attempt of that step, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.core import signing
from django.urls import reverse

from runs.domain.outcomes import StepKey

# The purpose that the signature is bound to: no other token of this installation opens a decision.
_SALT = "stepwise.approval"
LASTS_SECONDS = 7 * 86400


class Forged(Exception):
    """The link was not made here, or was changed."""


class Late(Exception):
    """The link was made here, too long ago."""


@dataclass(frozen=True)
class Link:
    """What a link is about: one attempt of one step."""

    step_key: StepKey
    attempt: int


def path(link: Link) -> str:
    """The link as a path of this site, good for LASTS_SECONDS from now."""
    run_id, step, item = link.step_key
    return reverse("approval-link", args=[signing.dumps([str(run_id), step, item, link.attempt], salt=_SALT)])


def read(token: str) -> Link:
    """What the token is about. Raises Forged, Late."""
    try:
        run_id, step, item, attempt = signing.loads(token, salt=_SALT, max_age=LASTS_SECONDS)
    except signing.SignatureExpired:
        raise Late from None
    except (signing.BadSignature, ValueError, TypeError):
        raise Forged from None
    return Link((UUID(run_id), str(step), int(item)), int(attempt))
