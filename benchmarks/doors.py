"""The pieces of work that are measured in a full database: sweep, hot path, lists of the API, pages of the admin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth import get_user_model
from django.test import Client

from benchmarks import work
from runs.control import signals, starts
from runs.domain.requests import Request
from runs.maintenance import invariants, retention
from runs.maintenance import sweep as sweeping
from runs.models import DeadLetter, Run
from runs.queries import retention as retention_queries
from runs.queries import sweep as sweep_queries
from runs.queries.database import run
from runs.telemetry import metrics
from workflows.models import Version, Workflow, Workspace
from workflows.workspaces import tokens

Work = tuple[str, Callable[[], object]]


def all_of(workflow: Workflow, version: Version) -> Iterator[Work]:
    """Yield every piece of work with its name."""
    yield from sweep(workflow)
    yield from hot(workflow, version)
    yield from api(workflow)
    yield from admin(workflow)


def sweep(workflow: Workflow) -> Iterator[Work]:
    """Yield sweep rounds that find nothing, the check of invariants, metrics, and what retention reads first."""
    yield "sweep", sweeping.sweep
    yield "sweep: audit", invariants.check
    yield (
        "sweep: each part",
        lambda: (
            sweeping.wake(),
            sweeping.unblock(),
            sweeping.time_out(),
            sweeping.rescue(),
        ),
    )
    yield "sweep: lost", lambda: run(sweep_queries.LOST, limit=200)
    yield "sweep: forget signals", signals.forget
    yield "metrics", lambda: metrics.exposition(workflow.workspace_id, name="default")
    yield "retention: due", lambda: run(retention_queries.DUE)
    yield "retention: gates", lambda: retention.prune_gates(wait=lambda _: False)
    yield "retention: first page", lambda: next(retention.prune(retention.Policy(workflow.pk, "w3", 3e9), dry=True))


def hot(workflow: Workflow, version: Version) -> Iterator[Work]:
    """Yield the hot path: start, admission, and W3 runs from load to record; one run, and a hundred together."""
    for count in (1, 100):
        yield f"hot path: {count}", lambda count=count: _through(workflow, version, count)  # type: ignore[misc]  # bound now


def _through(workflow: Workflow, version: Version, count: int) -> None:
    from runs.worker import polling

    requests = [Request(input=work.given(n), idempotency_key=f"volume {n}") for n in range(count)]
    starts.start(requests, version=version, workflow=workflow, source="bench")
    while polling.poll():
        pass


def api(workflow: Workflow) -> Iterator[Work]:
    """Yield the API's lists of runs and dead letters, with each filter, and page after page."""
    for workspace in ("default", "small"):
        token = _token(workspace)
        queries: list[dict[str, str]] = [
            {}, {"limit": "1000"}, {"workflow": "w3"}, {"workflow": "rare"},
            *({"state": state} for state in ("succeeded", "failed", "cancelled", "compensated", "queued", "running")),
            {"state": "failed,cancelled"}, {"workflow": "rare", "state": "failed"},
            {"workflow": "w3", "state": "compensated"}, {"workflow": "w3", "state": "running"},
            {"label.team": "shop"}, {"label.order": "100007"}, {"label.order": "none such"},
            {"label.team": "shop", "state": "failed"}, {"paused": "true"}, {"paused": "false"},
        ]  # fmt: skip
        for query in queries:
            yield f"api {workspace}: runs?{urlencode(query)}", lambda q=query, t=token: _get(t, "runs", q)  # type: ignore[misc]
        for query in ({}, {"state": "open"}, {"state": "discarded"}, {"workflow": "rare"}, {"label.team": "shop"}):
            yield (
                f"api {workspace}: dead-letters?{urlencode(query)}",
                lambda q=query, t=token: _get(t, "dead-letters", q),  # type: ignore[misc]
            )
    token = _token("default")
    yield "api default: runs, the 20th page", lambda: _deep(token, "runs?limit=1000", 20)
    yield "api default: runs from the middle", lambda: _get(token, "runs", {"cursor": _cursor(_middle())})
    yield "api default: one run", lambda: _get(token, f"runs/{_middle()}", {})
    yield "api default: workflows", lambda: _get(token, "workflows", {})


def admin(workflow: Workflow) -> Iterator[Work]:
    """Yield the admin's pages and lists, with each filter and search."""
    user = get_user_model().objects.get_or_create(username="bench")[0]
    get_user_model().objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    user.refresh_from_db()
    client = Client()
    client.force_login(user)
    rare = Workflow.objects.get(name="rare")
    pages = [
        "", "runs/run/", "runs/run/?p=50", f"runs/run/?workflow={workflow.pk}", f"runs/run/?workflow={rare.pk}",
        *(f"runs/run/?state={state}" for state in ("succeeded", "failed", "cancelled", "compensated", "running")),
        "runs/run/?paused=yes", f"runs/run/?q={_middle()}", "runs/run/?q=order+100003", "runs/run/?q=none+such",
        f"runs/run/{_middle()}/change/", "runs/steprun/", f"runs/steprun/?q={_middle()}", "runs/steprun/?q=none_such",
        *(f"runs/steprun/?state={s}" for s in ("succeeded", "failed", "cancelled", "skipped", "retrying", "waiting")),
        "runs/ticket/", "runs/deadletter/", "runs/deadletter/?state=open", "runs/deadletter/?state=discarded",
        f"runs/deadletter/?workflow={rare.pk}", f"runs/deadletter/?q={_middle()}", "runs/process/", "runs/approval/",
        "runs/run/?o=3", "runs/run/?o=5", "runs/steprun/?o=6", "workflows/workflow/",
        f"workflows/workflow/{workflow.pk}/change/", "workflows/version/",
    ]  # fmt: skip
    for page in pages:
        yield f"admin {page or 'index'}", lambda p=page: _page(client, p)  # type: ignore[misc]


def _token(workspace: str) -> str:
    user = get_user_model().objects.get_or_create(username="bench")[0]
    return tokens.issue(Workspace.objects.get(name=workspace), user, "volume")[1]


def _get(token: str, path: str, query: dict[str, str]) -> Any:
    answer = Client().get(f"/api/v1/{path}", query, headers={"Authorization": f"Bearer {token}"})
    if answer.status_code not in (200, 404):
        raise RuntimeError(f"{path} {query} answered {answer.status_code}: {answer.content[:300]!r}")
    return answer.json()


def _deep(token: str, path: str, pages: int) -> None:
    address = f"/api/v1/{path}"
    for _ in range(pages):
        page = Client().get(address, headers={"Authorization": f"Bearer {token}"}).json()
        if page["next"] is None:
            return
        address = page["next"]


def _page(client: Client, page: str) -> None:
    answer = client.get(f"/admin/{page}")
    if answer.status_code not in (200, 302):
        raise RuntimeError(f"/admin/{page} answered {answer.status_code}")


def _middle() -> UUID:
    """Return the id of a run in the middle of the table."""
    dead_letter = DeadLetter.objects.order_by("id")[2000:2001].first()
    if dead_letter is not None:
        return dead_letter.run_id
    return Run.objects.filter(workspace__name="default").order_by("id").values_list("pk", flat=True)[0]


def _cursor(key: UUID) -> str:
    from runs.api.http import pagination

    return pagination._cursor(key)
