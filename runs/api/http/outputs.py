"""Which outputs a request wants in its answer: `?include=outputs`, `?exclude=outputs`, or neither."""

from __future__ import annotations

from uuid import UUID

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from runs.api.http.problems import bad
from runs.schemas.outputs import MOST_BYTES, Links, Outputs, Wanted

_WORDS = ("outputs",)
PARAMETERS = [
    OpenApiParameter(
        "include", str, enum=_WORDS, description="`outputs`: all of them, and inputs and configs, however large."
    ),
    OpenApiParameter(
        "exclude",
        str,
        enum=_WORDS,
        description=f"`outputs`: none of them. By default, outputs, inputs and configs above {MOST_BYTES // 1024} KB "
        "are left out; `output_url` is the address of an output, `step_url` that of the whole step.",
    ),
]


def outputs_of(run_id: UUID, *, request: Request) -> Outputs:
    """Return how to show the outputs of this run. Raises Refused (400)."""
    included, excluded = (_asks(request, name) for name in ("include", "exclude"))
    if included and excluded:
        raise bad("exclude", "leaves out what include asks for; keep one of them")

    def address(name: str, *parts: str) -> str:
        return request.build_absolute_uri(reverse(name, args=[run_id, *parts]))

    def of_output(step: str | None) -> str:
        return address("api-run-output") if step is None else address("api-step-output", step)

    links = Links(lambda step: address("api-step", step), of_output)
    return Outputs(links, Wanted.ALL if included else Wanted.NONE if excluded else Wanted.SMALL)


def _asks(request: Request, name: str) -> bool:
    given = [word for text in request.query_params.getlist(name) for word in text.split(",")]
    for word in given:
        if word not in _WORDS:
            raise bad(name, f"must be outputs, not {word[:40]!r}".replace("\x00", "?"))
    return bool(given)
