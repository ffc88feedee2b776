"""Mutants of the promises about who may do what: scopes of tokens, logins, and what strangers are sent."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_WAYS = "tests/runs/test_ways_in.py"
_LOGINS = "tests/project/test_logins.py"

ACCESS = (
    Mutant(
        "start-without-scope",
        "a token that lost the scope start starts nothing, though the quick start knows it",
        "workflows/workspaces/permissions.py",
        "AND '{SCOPE_OF[Right.START].value}' = ANY(t.scopes)",
        "AND true",
        (_WAYS, "tests/runs/api/test_single_start.py"),
    ),
    Mutant(
        "views-without-scopes",
        "a token opens nothing that its scopes do not name",
        "workflows/workspaces/permissions.py",
        "caller.token.workspace_id == wanted and SCOPE_OF[way.right] in caller.token.scopes",
        "caller.token.workspace_id == wanted",
        (_WAYS,),
    ),
    Mutant(
        "replay-is-no-start",
        "a token that may not start runs starts none by a replay",
        "runs/api/http/base.py",
        "request.method not in SAFE_METHODS and self.changes_also is not None",
        "self.changes_also is None and self.changes_also is not None",
        (_WAYS,),
    ),
    Mutant(
        "links-for-readers",
        "a token that may not decide is not shown the link that decides",
        "runs/api/http/base.py",
        "return self.request.build_absolute_uri if allowed else None",
        "return self.request.build_absolute_uri",
        (_WAYS,),
    ),
    Mutant(
        "tokens-of-others",
        "whoever is no superuser changes and deletes tokens of their own only",
        "workflows/admin/workspaces.py",
        "or token.user_id == request.user.pk",
        "or True",
        ("tests/workflows/test_admin.py",),
    ),
    Mutant(
        "names-are-locked",
        "nobody locks the admin out from everywhere",
        "project/settings.py",
        'AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]',
        'AXES_LOCKOUT_PARAMETERS = ["username"]',
        (_LOGINS,),
    ),
    Mutant(
        "clients-are-believed",
        "the entries of X-Forwarded-For that a client wrote move no address",
        "project/logins.py",
        "told = entries[-proxies] if",
        "told = entries[0] if",
        (_LOGINS,),
    ),
    Mutant(
        "admin-policy-for-strangers",
        "everything that a stranger can open is sent under the strict policy",
        "project/headers.py",
        "ADMIN if _is_admin_page(request, response) else STRICT",
        "ADMIN",
        ("tests/project/test_headers.py",),
    ),
)
