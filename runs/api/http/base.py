"""What all views of the API share: who asks, in which workspace, and what an error looks like in the schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from django.contrib.auth.models import User
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from pydantic import BaseModel, create_model
from rest_framework.parsers import BaseParser
from rest_framework.permissions import SAFE_METHODS, AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from runs.api.http.pagination import DEFAULT_LIMIT, MAX_LIMIT, Page
from runs.api.http.parsers import JsonBody
from runs.api.http.problems import Refused
from runs.schemas.base import Shape
from workflows.models import Workspace
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Caller, Right, Way

READ = permissions.way("api: read", Right.READ)
# Whoever has the signed link of an approval can decide it, so whoever may not decide is not shown it.
SEE_APPROVAL_LINKS = permissions.way("api: see the links of approvals", Right.DECIDE)


class ScopedView(APIView):
    """A view that sees one workspace: the token's, or the default one for a superuser with a session."""

    parser_classes: Sequence[type[BaseParser]] = (JsonBody,)
    # Whether the view reads the server's stream itself, and so bodies that do not say their length.
    streams: ClassVar[bool] = False
    # The way in of requests that only look.
    reads: ClassVar[Way] = READ
    # The way in of requests that change something; a view without one takes none.
    changes: ClassVar[Way | None] = None
    # A second way that those requests take, as a replay, which changes nothing but starts a run.
    changes_also: ClassVar[Way | None] = None
    caller: Caller
    workspace: Workspace
    user: User

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Authenticate, then find the workspace. Raises Refused (403) for accounts without one."""
        super().initial(request, *args, **kwargs)
        if not self.streams and without_length(request.META):
            # Django knows no body without a length: it would be read as empty.
            raise Refused("send the body with a Content-Length", status=411)
        self.caller = permissions.over_api(request.user, request.auth)
        self.workspace = _workspace(self.caller)
        self.require(self.reads if request.method in SAFE_METHODS else self.changes)
        if request.method not in SAFE_METHODS and self.changes_also is not None:
            self.require(self.changes_also)
        if isinstance(request.user, User):
            self.user = request.user

    @property
    def sees_secrets(self) -> bool:
        """Whether the caller is shown the secrets in configs."""
        return permissions.sees_secrets(self.caller, workspace=self.workspace)

    def require(self, way: Way | None) -> None:
        """Raises Refused (403) where the caller may not go this way in the workspace."""
        if way is None and not hasattr(self, (self.request.method or "").lower()):
            return  # a method that the view does not have is refused with 405
        if way is None:
            raise Refused("this view names no way in for a change, so it takes none", status=403)
        try:
            permissions.require(self.caller, way, workspace=self.workspace)
        except permissions.Forbidden as error:
            raise Refused(str(error), status=403) from None

    @property
    def site(self) -> Callable[[str], str] | None:
        """Makes the path of an approval's link a full URL; None where the caller may not decide: no link then."""
        allowed = permissions.may(self.caller, SEE_APPROVAL_LINKS, workspace=self.workspace)
        return self.request.build_absolute_uri if allowed else None


def scopes(view: object, *, method: str) -> list[str]:
    """The scopes that a token needs for this method of the view; none for views that are not of a workspace."""
    if not isinstance(view, ScopedView):
        return []
    ways = (view.reads,) if method.upper() in SAFE_METHODS else (view.changes, view.changes_also)
    return [permissions.SCOPE_OF[way.right].value for way in ways if way is not None]


class Nowhere(APIView):
    """Any other address below the API: a problem, not a page."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Raises Refused (404) whatever the method is."""
        hint = "; addresses here do not end in a slash" if request.path.endswith("/") else ""
        raise Refused(f"there is nothing at this address{hint}", status=404)


class ProblemError(BaseModel):
    """One fault and where it is."""

    path: str
    message: str
    line: int | None = None


class ProblemDetails(BaseModel):
    """Problem details, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemError] = []


class ConflictDetails(ProblemDetails):
    """A verb that is not legal now: nothing was changed. `state` says how the thing stands."""

    state: str


PROBLEM = OpenApiResponse(response=ProblemDetails, description="What is wrong, where, and what to do about it.")
PROBLEMS = {401: PROBLEM, 403: PROBLEM}
READ_ONE = {**PROBLEMS, 404: PROBLEM}
READ_MANY = {**PROBLEMS, 400: PROBLEM}
CONFLICT = OpenApiResponse(response=ConflictDetails, description="Not legal as things stand; nothing was changed.")
# 408 and 503 are also answered by the web server: a body that stops, and no free thread.
WRITE = {**PROBLEMS, 400: PROBLEM, 408: PROBLEM, 413: PROBLEM, 415: PROBLEM, 503: PROBLEM}
# Of one verb on one run.
VERB = {**WRITE, 404: PROBLEM, 409: CONFLICT}


_OFFSET: dict[str, Any] = {"offset": (int, ...)}


def without_length(meta: Mapping[str, Any]) -> bool:
    """Whether the body comes in chunks (Transfer-Encoding), so that only its end tells how long it is."""
    return "chunked" in meta.get("HTTP_TRANSFER_ENCODING", "") and not meta.get("CONTENT_LENGTH")


def parameters(**described: str) -> list[OpenApiParameter]:
    """The query parameters of a list, `limit` and `cursor` included."""
    paging = {
        "limit": f"How many, from 1 to {MAX_LIMIT}; {DEFAULT_LIMIT} unless told. The answer says what was used.",
        "cursor": "Where the page begins; comes from `next`.",
    }
    return [
        OpenApiParameter(name, int if name in ("limit", "offset") else str, description=text)
        for name, text in {**described, **paging}.items()
    ]


def listed(shape: type[Shape], *, offsets: bool = False) -> type[BaseModel]:
    """The shape of a page of these, with the `offset` where the list takes one."""
    fields: dict[str, Any] = {"results": (list[shape], ...), "next": (str | None, None), "limit": (int, ...)}  # type: ignore[valid-type]  # a type made at run time
    made: type[BaseModel] = create_model(f"{shape.__name__}Page", **fields, **_OFFSET if offsets else {})
    return made


def answer_page(page: Page[Any], shapes: list[Shape]) -> Response:
    """The page as an answer."""
    told = {"results": [shape.as_json() for shape in shapes], "next": page.next, "limit": page.limit}
    return Response(told if page.offset is None else {**told, "offset": page.offset})


def _workspace(caller: Caller) -> Workspace:
    found = permissions.workspace_of(caller)
    if found is not None:
        return found
    raise Refused("this account belongs to no workspace; send a token of the workspace instead", status=403)
