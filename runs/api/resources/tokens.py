"""One's own API tokens of the workspace: list them, make one, delete one."""

from __future__ import annotations

import logging

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from runs.api.http.base import PROBLEM, READ_MANY, WRITE, ScopedView, answer_page, listed, parameters
from runs.api.http.pagination import page
from runs.api.http.parsers import read_body
from runs.api.http.problems import Refused, missing, refused
from runs.schemas import workspaces
from runs.schemas.requests import MakeToken
from workflows.definitions.errors import Problem, nearest
from workflows.models import ApiToken, Scope
from workflows.workspaces import permissions, tokens
from workflows.workspaces.permissions import Right

log = logging.getLogger(__name__)
LOOK = permissions.way("api: see one's own tokens", Right.ADMINISTER)
# Of one user in one workspace, those that have ended included.
MOST_TOKENS = 1000


class Tokens(ScopedView):
    """The tokens of the caller's own user in the workspace."""

    reads = LOOK
    changes = permissions.way("api: tokens_make", Right.ADMINISTER)

    @extend_schema(
        operation_id="tokens_list", parameters=parameters(), responses={200: listed(workspaces.TokenShape), **READ_MANY}
    )
    def get(self, request: Request) -> Response:
        """List them, newest first, those that have ended included."""
        shown = page(request, of=_own(self))
        return answer_page(shown, [workspaces.token(one) for one in shown.objects])

    @extend_schema(operation_id="tokens_make", request=MakeToken, responses={201: workspaces.TokenMade, **WRITE})
    def post(self, request: Request) -> Response:
        """Make a token for one's own user in this workspace, and show it this once.

        It can be given scopes that the token has that asks for it; a superuser's session gives any.
        """
        asked = read_body(request.data, model=MakeToken)
        scopes = self._scopes(asked.scopes)
        if _own(self).count() >= MOST_TOKENS:
            raise Refused(f"this user has {MOST_TOKENS:,} tokens in this workspace; delete some first", status=409)
        made, plaintext = tokens.issue(self.workspace, self.user, asked.name, scopes=scopes, days=asked.days)
        made.refresh_from_db()
        log.info("token_made", extra={"token": made.pk, "user": self.user.pk, "scopes": scopes})
        return Response(workspaces.made(made, plaintext).as_json(), status=201)

    def _scopes(self, asked: list[str] | None) -> list[str]:
        """The scopes of a new token. Raises Refused (400) for one that is unknown, or that the caller may not give."""
        if asked is None:
            usual = [one.value for one in Scope if one is not Scope.ADMIN]
            found = [scope for scope in usual if permissions.may_give_over_api(self.caller, scope)]
            if not found:
                raise refused(
                    [Problem("scopes", "is missing: this token has the scope admin only, which is never usual")]
                )
            return found
        problems = []
        for index, scope in enumerate(asked):
            if scope not in Scope.values:
                hint = nearest(scope, Scope.values)
                problems.append(Problem(f"scopes[{index}]", f"{scope[:40]!r} is no scope{hint}"))
            elif not permissions.may_give_over_api(self.caller, scope):
                says = f"{scope!r} cannot be given by this token, which does not have it"
                problems.append(Problem(f"scopes[{index}]", says))
        if problems:
            raise refused(problems)
        return sorted(set(asked))


class OneToken(ScopedView):
    """One token of the caller's own user in the workspace."""

    reads = LOOK
    changes = permissions.way("api: tokens_delete", Right.ADMINISTER)

    @extend_schema(operation_id="tokens_delete", request=None, responses={204: None, **WRITE, 404: PROBLEM})
    def delete(self, request: Request, key: str) -> Response:
        """Delete it: from now on it is refused. It may be the token that asks."""
        number = int(key) if key.isascii() and key.isdecimal() and len(key) < 19 else 0
        count, _ = _own(self).filter(pk=number).delete()
        if not count:
            raise missing("token of yours", key)
        log.info("token_deleted", extra={"token": number, "user": self.user.pk})
        return Response(status=204)


def _own(view: ScopedView) -> QuerySet[ApiToken]:
    return ApiToken.objects.filter(workspace=view.workspace, user=view.user)
