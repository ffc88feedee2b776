"""Which outputs a request wants in its answer: `?include=outputs`, `?exclude=outputs`, or neither."""

from __future__ import annotations

from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from runs.api.http.problems import bad
from runs.schemas.outputs import MOST_BYTES, Outputs, Wanted

_WORDS = ("outputs",)
PARAMETERS = [
    OpenApiParameter("include", str, enum=_WORDS, description="`outputs`: all of them, however large they are."),
    OpenApiParameter(
        "exclude",
        str,
        enum=_WORDS,
        description=f"`outputs`: none of them. By default, those above {MOST_BYTES // 1024} KB are left out. "
        "Where one is left out, `output_url` is its address.",
    ),
]


def outputs_of(run_id: UUID, *, request: Request) -> Outputs:
    """Return how to show the outputs of this run. Raises Refused (400)."""
    included, excluded = (_asks(request, name) for name in ("include", "exclude"))
    if included and excluded:
        raise bad("exclude", "leaves out what include asks for; keep one of them")

    def address(step: str | None) -> str:
        name, parts = ("api-run-output", [run_id]) if step is None else ("api-step-output", [run_id, step])
        return request.build_absolute_uri(reverse(name, args=parts))

    return Outputs(address, Wanted.ALL if included else Wanted.NONE if excluded else Wanted.SMALL)


def _asks(request: Request, name: str) -> bool:
    given = [word for text in request.query_params.getlist(name) for word in text.split(",")]
    for word in given:
        if word not in _WORDS:
            raise bad(name, f"must be outputs, not {word[:40]!r}".replace("\x00", "?"))
    return bool(given)
