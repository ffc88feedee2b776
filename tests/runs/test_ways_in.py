"""Each kind of caller tries every way in that is registered; a new way fails here until it asks and is tried."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, reverse
from drf_spectacular.generators import SchemaGenerator

import runs.api.fast_start
import runs.maintenance.alerts
import runs.management.commands._by_hand
import runs.management.commands.run_workflow
import runs.pages.approval  # noqa: F401 - every module that registers a way
from project.wsgi import application
from runs.api.http.base import ScopedView
from runs.api.urls import urlpatterns
from runs.control import approval_links
from runs.control.approval_links import Link
from runs.models import DeadLetter, Run, Signal
from runs.queries.starts import START_AUTHORIZED
from tests.architecture.source import files, place, tree
from tests.engine import drain
from tests.flows import begun, owner, published, steps, workspace
from tests.runs.api.test_api_signals import asking
from tests.runs.doors import posted
from workflows.models import ApiToken, Credential, Scope, Workflow
from workflows.workspaces import permissions, tokens
from workflows.workspaces.permissions import SCOPE_OF, WAYS, Right

pytestmark = pytest.mark.django_db(transaction=True)

FAILS = "name: ways\nsteps: [{id: a, action: fail}]"
BODIES: dict[str, Any] = {
    "workflows_start": {"input": {}},
    "workflows_start_bulk": [{"input": {}}],
    "jobs_start": {"type": "default"},
    "workflows_publish": {"name": "new", "steps": [{"id": "a", "action": "default"}]},
    "workflows_publish with a first run": {
        "name": "job",
        "steps": [{"name": "a", "type": "default", "payload": {"a": 1}}],
    },
    "signals_send": {"name": "paid", "key": "4711"},
    "runs_signal": {"name": "paid"},
    "credentials_create": {
        "name": "crm",
        "kind": "bearer",
        "values": {"token": "a-secret-4711"},
        "hosts": ["api.example.com"],
    },
}
LOOKS = {"api: read", "api: see the links of approvals"}
API = [name.removeprefix("api: ") for name in WAYS if name.startswith("api: ") and name not in LOOKS]
SAME_ADDRESS = {
    "runs_replay as a start": "runs_replay",
    "workflows_publish with a first run": "workflows_publish",
    "workflows_start in front of Django": "workflows_start",
}
ADMIN = {
    "admin: start a run": "runs.add_run",
    "admin: change runs": "runs.change_run",
    "admin: change dead letters": "runs.change_deadletter",
    "admin: archive workflows": "workflows.change_workflow",
}


@cache
def paths() -> dict[str, str]:
    """The address of each operation of the API, by its id."""
    found = SchemaGenerator().get_schema(request=None, public=True)["paths"]  # type: ignore[no-untyped-call]
    return {one["operationId"]: path for path, methods in found.items() for one in methods.values()}


@pytest.fixture
def run() -> Run:
    """A failed run with a dead letter, in the default workspace."""
    [run_id] = begun(published(FAILS))
    drain()
    return Run.objects.get(pk=run_id)


def address(operation: str, run: Run) -> str:
    """Where the operation is asked of this run, its dead letter or its workflow."""
    path = paths()[SAME_ADDRESS.get(operation, operation)]
    key = run.pk
    if "dead-letters" in path:
        key = DeadLetter.objects.get(run=run).pk
    elif "workflows" in path:
        key = run.workflow_id
    return path.replace("{key}", str(key)).replace("{step}", "a")


def body(operation: str, run: Run) -> Any:
    if operation in BODIES:
        return BODIES[operation]
    if operation.startswith("workflows_start in"):
        return BODIES["workflows_start"]
    if operation.endswith("_many"):
        key = DeadLetter.objects.get(run=run).pk if operation.startswith("dead") else run.pk
        return {"ids": [str(key)], "why": "test"}
    return {"why": "test"} if "discard" in operation else {}


def in_default() -> list[int]:
    """How much there is in the default workspace."""
    mine = {"workspace": workspace()}
    return [model.objects.filter(**mine).count() for model in (Run, Workflow, Signal, Credential)]


def bearer(scopes: Iterable[str] | None = None, *, of: str = "default") -> dict[str, str]:
    """The header of a new token with these scopes in the workspace; None: those that a token has unless told."""
    token = tokens.issue(workspace(of), owner(), "test", scopes=None if scopes is None else list(scopes))[1]
    return {"Authorization": f"Bearer {token}"}


@cache
def session(user: User) -> Client:
    """A browser in which this user has logged in."""
    client = Client()
    client.force_login(user)
    return client


def asked(caller: str, path: str, sent: Any) -> tuple[int, Any]:
    """Status and body of a POST by this kind of caller."""
    if "session" in caller:
        user = User.objects.get_or_create(username=caller, is_superuser="superuser" in caller)[0]
        answer = session(user).post(path, sent, content_type="application/json")
        return answer.status_code, answer.json()
    headers = {}
    if "token" in caller and caller != "no token":
        headers = bearer(of="default" if caller == "token" else "theirs")
    found = posted(path, sent, headers=headers)
    return found.status, json.loads(found.content)


def allowed(caller: str, operation: str, run: Run) -> bool:
    """Whether the API lets this caller do it to the default workspace. A 409 is no matter of who asks."""
    before = in_default()
    status, told = asked(caller, address(operation, run), body(operation, run))
    if status not in (200, 201, 409):
        return False
    if operation.endswith("_many"):
        return "unknown" not in [one["state"] for one in told["lost"]]
    # Without an id in its address it is done in the caller's own workspace.
    return "{key}" in paths()[SAME_ADDRESS.get(operation, operation)] or in_default() != before


@pytest.mark.parametrize("caller", ["token", "another workspace's token", "no token", "superuser's session", "session"])
def test_who_may_over_the_api(caller: str, run: Run) -> None:
    may = {operation: allowed(caller, operation, run) for operation in API}
    # Without other words a token has every scope but `admin`.
    usual = {name: caller == "token" and Scope.ADMIN not in scopes_of(name) for name in API}
    assert may == (dict.fromkeys(API, True) if caller == "superuser's session" else usual)


# What takes more than the scope of its own right.
ALSO = {
    "workflows_publish with a first run": {Scope.PUBLISH, Scope.START},
    "runs_replay": {Scope.OPERATE, Scope.START},
    "runs_replay as a start": {Scope.OPERATE, Scope.START},
}


def scopes_of(operation: str) -> set[Scope]:
    """The scopes that the operation takes, all of them."""
    return ALSO.get(operation, {SCOPE_OF[WAYS[f"api: {operation}"].right]})


@pytest.mark.parametrize("scope", [Scope.START, Scope.OPERATE, Scope.PUBLISH, Scope.ADMIN])
def test_each_way_over_the_api_asks_for_its_own_scope(scope: Scope, run: Run) -> None:
    headers = bearer(one for one in Scope if one is not scope)
    refused = {}
    for name in API:
        found = posted(address(name, run), body(name, run), headers=headers)
        if found.status == 403:
            refused[name] = json.loads(found.content)["detail"]
    assert set(refused) == {name for name in API if scope in scopes_of(name)}
    assert all(f"this takes the scope {scope.value};" in detail for detail in refused.values())


@pytest.mark.parametrize("scope", [Scope.START, Scope.OPERATE, Scope.PUBLISH, Scope.ADMIN])
def test_a_scope_alone_opens_what_takes_it_and_nothing_else(scope: Scope, run: Run) -> None:
    headers = bearer([scope])
    opened = {name for name in API if posted(address(name, run), body(name, run), headers=headers).status != 403}
    assert opened == {name for name in API if scopes_of(name) == {scope}}


@pytest.mark.parametrize("held", [{"read"}, {"start"}, {"operate", "publish", "admin"}])
def test_whoever_has_not_the_scope_read_looks_at_nothing(held: set[str], run: Run) -> None:
    found = SchemaGenerator().get_schema(request=None, public=True)["paths"]  # type: ignore[no-untyped-call]
    headers, looks = bearer(held), ["/metrics"]
    looks += [
        path.replace("{key}", str(run.pk)).replace("{step}", "a") for path, ways in found.items() if "get" in ways
    ]
    assert len(looks) > 10
    codes = {path: Client().get(path, headers=headers).status_code for path in looks if not path.endswith("/schema")}
    assert {path for path, code in codes.items() if code == 403} == (set() if "read" in held else set(codes))


@pytest.mark.parametrize("door", [application, WSGIHandler()], ids=["quick start", "view"])
@pytest.mark.parametrize("scope", Scope)
def test_a_start_takes_the_scope_start_in_front_of_django_and_behind(scope: Scope, door: Any, run: Run) -> None:
    path, before = address("workflows_start", run), Run.objects.count()
    codes = [posted(path, {"input": {}}, headers=bearer([scope]), to=door).status for _ in range(2)]
    assert codes == ([201, 201] if scope is Scope.START else [403, 403])
    assert Run.objects.count() == before + 2 * (scope is Scope.START)


@pytest.mark.parametrize("door", [application, WSGIHandler()], ids=["quick start", "view"])
def test_a_scope_that_is_taken_away_is_gone_with_the_next_start(door: Any, run: Run) -> None:
    path, headers = address("workflows_start", run), bearer()
    assert [posted(path, {"input": {}}, headers=headers, to=door).status for _ in range(2)] == [201, 201]
    ApiToken.objects.update(scopes=["read", "operate", "publish", "admin"])
    before = Run.objects.count()
    assert posted(path, {"input": {}}, headers=headers, to=door).status == 403
    assert Run.objects.count() == before


def test_the_openapi_document_says_the_scopes_of_each_operation() -> None:
    found = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    told = {
        one["operationId"]: {scope for way in one["security"] for scope in way.get("token", ())}
        for methods in found["paths"].values()
        for one in methods.values()
    }
    assert all(told[SAME_ADDRESS.get(name, name)] == scopes_of(name) for name in API if name not in ALSO)
    assert (told["runs_replay"], told["runs_list"]) == ({"operate", "start"}, {"read"})
    assert all(scope in found["components"]["securitySchemes"]["token"]["description"] for scope in Scope.labels)


def test_who_may_not_decide_is_not_shown_the_link_that_decides() -> None:
    [run_id] = asking()
    for held, shown in ({"read"}, False), ({"read", "operate"}, True), ({"read", "start", "publish", "admin"}, False):
        headers = bearer(held)
        [listed] = Client().get("/api/v1/approvals", headers=headers).json()["results"]
        one = Client().get(f"/api/v1/runs/{run_id}", headers=headers).json()
        latest = Client().get(f"/api/v1/workflows/{one['workflow_id']}", headers=headers).json()["latest_run"]
        links = [listed["approve_url"], *(run["steps"][0]["approve_url"] for run in (one, latest))]
        assert [link is not None for link in links] == [shown] * 3


@pytest.mark.parametrize("caller", ["superuser", "staff with the permission", "staff", "user with the permission", ""])
def test_who_may_at_the_admin(caller: str, run: Run) -> None:
    pages = {
        "admin: start a run": reverse("admin:runs_run_start", args=[run.workflow_id]),
        "admin: change runs": reverse("admin:runs_run_replay", args=[run.pk]),
        "admin: change dead letters": reverse("admin:runs_deadletter_discard", args=[DeadLetter.objects.get().pk]),
        "admin: archive workflows": reverse("admin:runs_workflow_archive", args=[run.workflow_id]),
    }
    may = {way: browser(caller, ADMIN[way]).get(page).status_code == 200 for way, page in pages.items()}
    assert may == dict.fromkeys(ADMIN, caller in ("superuser", "staff with the permission"))


def browser(caller: str, permission: str) -> Client:
    """A browser in which this kind of caller is logged in; with the permission, if the kind has one."""
    client = Client()
    if caller:
        root = caller == "superuser"
        user = User.objects.create(username=permission, is_staff=root or "staff" in caller, is_superuser=root)
        if "permission" in caller:
            label, name = permission.split(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=label, codename=name))
        client.force_login(user)
    return client


def test_a_signed_link_decides_its_approval_and_no_other_right_comes_with_it() -> None:
    [run_id] = asking()
    row = steps(run_id)["ok"]
    good = approval_links.path(Link((run_id, row.step, row.item), row.attempt))
    assert Client().post(f"{good}x", {"decision": "approve"}).status_code == 403
    assert Client().post(good, {"decision": "approve"}).status_code == 200
    may = {right: permissions.may(permissions.LINK, permissions.Way("", right)) for right in Right}
    assert [right for right, allowed in may.items() if allowed] == [Right.DECIDE]


def test_commands_on_the_server_may_everything(run: Run) -> None:
    call_command("run_workflow", "ways", "--no-wait")
    call_command("retry_run", str(run.pk), "--why", "test")
    assert all(permissions.may(permissions.SERVER, way) for way in WAYS.values())


def test_every_way_that_is_registered_is_tried_here() -> None:
    tried = {f"api: {name}" for name in API} | set(ADMIN)
    others = {
        *LOOKS,
        "page: approval link",
        "command: verbs by hand",
        "command: run_workflow",
        "engine: start an alert workflow",
    }
    assert set(WAYS) == tried | others


def views() -> Iterator[type[ScopedView]]:
    for pattern in urlpatterns:
        view = getattr(pattern.callback, "view_class", None) if isinstance(pattern, URLPattern) else None
        if isinstance(view, type) and issubclass(view, ScopedView):
            yield view


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_every_view_that_takes_a_change_names_its_way(method: str) -> None:
    assert not [view.__name__ for view in views() if hasattr(view, method) and view.changes is None]


VERBS = {
    "starts": {"start", "insert", "insert_together"},
    "replays": {"replay"},
    "stops": {"cancel", "terminate"},
    "pauses": {"pause", "resume", "pause_workflow", "resume_workflow"},
    "retries": {"retry", "retry_steps"},
    "signals": {"send", "send_by_key"},
    "approvals": {"decide"},
    "dead_letters": {"retry", "discard"},
    "archives": {"archive", "restore", "delete"},
}
# Calls by which a module asks, itself or through what it shares with others of its room, and classes that do.
ASKS = {"way", "described", "described_many", "require", "may", "actor", "user_id", "action"}
ASKING_BASES = {"OverRuns", "OverDeadLetters", "OverWorkflow"}


def called(path: Path) -> set[str]:
    """The names that the file calls: `starts.start`, or the last word of anything else."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            owner = getattr(function.value, "id", "") if isinstance(function, ast.Attribute) else ""
            found |= {name, f"{owner}.{name}"}
    return found


def asks(path: Path) -> bool:
    """Whether the file asks, or its classes inherit the asking."""
    bases = {
        getattr(base, "id", "")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }
    return bool(called(path) & ASKS or bases & ASKING_BASES)


def imported_verbs(path: Path) -> set[str]:
    """Verbs that the file imports by their own names, which is another way to call them."""
    return {
        alias.name
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runs.control.")
        for alias in node.names
        if alias.name in VERBS.get((node.module or "").rpartition(".")[2], ())
    }


@pytest.mark.parametrize("room", ["api", "admin", "pages", "management", "maintenance", "worker"])
def test_whoever_does_a_verb_asks_first(room: str) -> None:
    """A new way in (a webhook, a schedule, a form) is a module that calls a verb, and must ask."""
    verbs = {f"{module}.{name}" for module, names in VERBS.items() for name in names} | {"function"}
    doing = [path for path in files(f"runs/{room}") if called(path) & verbs or imported_verbs(path)]
    assert not [place(path, 1) for path in doing if not asks(path)]
    assert doing or room in ("maintenance", "worker")


def test_the_statement_of_a_start_looks_again_by_the_same_rule() -> None:
    assert permissions.TOKENS_THAT_MAY_START in START_AUTHORIZED.sql
