"""Steps that use credentials: where these are sent, what is recorded, and what a definition may not do with them."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from actions import network
from runs.models import DeadLetter
from tests.actions.http_server import Server, serving
from tests.engine import drain
from tests.flows import begun, owner, published, steps, workspace
from workflows.credentials import rates, store, uses, vault
from workflows.credentials.store import Wanted
from workflows.definitions.errors import DefinitionError
from workflows.formats import parse
from workflows.models import Credential
from workflows.publishing.publish import publish
from workflows.workspaces import permissions
from workflows.workspaces.permissions import Forbidden

pytestmark = pytest.mark.django_db(transaction=True)
CANARY = 'canary/4711+abc=&ü"x'
TOKEN = "canary-4711-token"


@pytest.fixture
def server() -> Iterator[Server]:
    """A server at 127.0.0.1 and localhost, for which the guard makes an exception."""
    vault.forget()
    uses.forget()
    with serving() as told:
        network.configure(["127.0.0.1", "localhost"])
        yield told
    network.configure(settings.OUTBOUND_ALLOW)


def host(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def credential(server: Server, own: str = "crm", kind: str = "bearer", /, **values: str) -> Credential:
    wanted = Wanted(own, kind, values or {"token": TOKEN}, [host(server)])
    return store.create(wanted, workspace=workspace(), by=None)


def performed(with_: dict[str, Any], *, given: Any = None, more: str = "", action: str = "http_request") -> Any:
    """The row of a step with this config, after its only attempt."""
    step = json.dumps({"id": "a", "action": action, "with": with_, "retry": "none"})
    [run_id] = begun(published(f"name: uses\nsteps: [{step}]\n{more}"), given or {})
    drain()
    return steps(run_id)["a"]


def sent(server: Server) -> dict[str, Any]:
    return server.asked[-1]


@pytest.mark.parametrize(
    ("kind", "values", "header", "value"),
    [
        ("bearer", {"token": TOKEN}, "authorization", f"Bearer {TOKEN}"),
        (
            "basic",
            {"username": "ada", "password": CANARY},
            "authorization",
            f"Basic {base64.b64encode(f'ada:{CANARY}'.encode()).decode()}",
        ),
        ("api_key", {"name": "X-Key", "value": TOKEN}, "x-key", TOKEN),
    ],
)
def test_a_credential_is_sent_and_its_echo_is_not_recorded(
    kind: str, values: dict[str, str], header: str, value: str, server: Server
) -> None:
    row = credential(server, "crm", kind, **values)
    step = performed({"url": server.url("/echo"), "credential": "crm"})
    assert step.state == "succeeded", step.error
    assert sent(server)["headers"][header] == value
    assert "[credential crm]" in step.output["body"]["headers"][header]
    row.refresh_from_db()
    assert (row.uses, row.last_used_at is not None) == (1, True)


def test_a_key_in_the_query_and_secrets_in_expressions_are_sent_and_recorded_as_marks(server: Server) -> None:
    credential(server, "key", "api_key", name="apikey", value=TOKEN, place="query")
    credential(server, "orders-hook", "fields", first=CANARY, second=CANARY[::-1])
    step = performed({"url": server.url("/echo"), "query": {"page": 2}, "credential": "key"})
    assert sent(server)["path"] == f"/echo?page=2&apikey={TOKEN}"
    assert TOKEN not in json.dumps(step.output)
    body = {"a": "{{ secrets['orders-hook'].first }}", "b": "x{{ secrets['orders-hook'].second }} {{ input.n }}"}
    step = performed({"url": server.url("/echo"), "method": "POST", "body": body}, given={"n": 5})
    assert json.loads(sent(server)["body"]) == {"a": CANARY, "b": f"x{CANARY[::-1]} 5"}
    marks = {"a": "[secret orders-hook.first]", "b": "x[secret orders-hook.second] 5"}
    assert step.config["body"] == marks
    assert step.output["body"]["body"] == '{"a":"[credential orders-hook]","b":"x[credential orders-hook] 5"}'


def test_what_an_input_says_is_no_secret_whatever_it_looks_like(server: Server) -> None:
    credential(server)
    given = {"t": "{{ secrets.crm.token }} [secret crm.token]"}
    body = {"a": "{{ input.t }}", "b": "{{ secrets.crm.token }}"}
    performed({"url": server.url("/echo"), "method": "POST", "body": body}, given=given)
    assert json.loads(sent(server)["body"]) == {"a": given["t"], "b": TOKEN}


@pytest.mark.parametrize(
    ("with_", "shown"),
    [
        ({"credential": "crm"}, "localhost"),
        ({"headers": {"X": "{{ secrets.crm.token }}"}}, "localhost"),
        ({"query": {"t": "{{ secrets.crm.token }}"}}, "localhost"),
        ({"method": "POST", "body": {"t": "{{ secrets.crm.token }}"}}, "localhost"),
        ({"url": "http://localhost:{port}/{{ secrets.crm.token }}"}, "localhost"),
        ({"url": "http://127.0.0.1.nip.test/", "credential": "crm"}, "127.0.0.1.nip.test"),
        ({"url": "http://127.0.0.1:1/", "credential": "crm"}, "127.0.0.1:1"),
        ({"url": "https://127.0.0.1:{port}/", "credential": "crm"}, "127.0.0.1"),
    ],
)
def test_an_attempt_to_send_one_elsewhere_is_blocked_before_anything_is_sent(
    with_: dict[str, Any], shown: str, server: Server
) -> None:
    credential(server)
    url = with_.get("url", server.url("/echo", host="localhost")).replace("{port}", str(server.port))
    step = performed({**with_, "url": url})
    assert (step.state, step.error["kind"]) == ("failed", "blocked")
    assert "credential 'crm' may not be sent to" in step.error["message"]
    assert step.error["details"]["credential"] == "crm"
    assert shown in step.error["message"]
    assert TOKEN not in json.dumps([step.error, step.config, step.attempts])
    assert server.asked == []


def test_a_redirect_elsewhere_drops_it_and_takes_no_body_with_it(server: Server) -> None:
    credential(server)
    there = server.url("/echo", host="localhost")
    headers = {"User-Agent": "{{ secrets.crm.token }}", "X-Other": "{{ secrets.crm.token }}"}
    step = performed({"url": f"{server.url('/redirect')}?to={there}", "credential": "crm", "headers": headers})
    assert step.state == "succeeded", step.error
    assert [TOKEN in json.dumps(one) for one in server.asked] == [True, False]
    performed({"url": f"{server.url('/redirect')}?to={server.url('/echo')}", "credential": "crm"})
    assert sent(server)["headers"]["authorization"] == f"Bearer {TOKEN}"
    body = {"method": "POST", "body": {"t": "{{ secrets.crm.token }}"}, "forward_body": True}
    step = performed({"url": f"{server.url('/redirect307')}?to={there}", **body})
    assert step.error["kind"] == "blocked"
    assert "with the body, which may hold the credential 'crm'" in step.error["message"]
    assert sent(server)["path"].startswith("/redirect307")


@pytest.mark.parametrize(
    ("with_", "said"),
    [
        ({"credential": "none"}, "there is no credential 'none' in this workspace"),
        ({"credential": "mail"}, "is of kind smtp, which http_request cannot use; it takes one of kind api_key"),
        ({"credential": "crm", "headers": {"authorization": "x"}}, "leave one of them out"),
        ({"headers": {"X": "{{ secrets.crm.tokem }}"}}, "credential 'crm' has no field 'tokem'; it has token"),
    ],
)
def test_what_cannot_be_used_fails_the_step_and_says_why(with_: dict[str, Any], said: str, server: Server) -> None:
    credential(server)
    smtp = {"host": "mail.example.com", "password": TOKEN}
    store.create(Wanted("mail", "smtp", smtp), workspace=workspace(), by=None)
    other = {"token": TOKEN[::-1]}
    store.create(Wanted("theirs", "bearer", other, [host(server)]), workspace=workspace("other"), by=None)
    step = performed({"url": server.url("/echo"), **with_})
    assert (step.error["kind"], said in step.error["message"]) == ("credential", True), step.error
    assert performed({"url": server.url("/echo"), "credential": "theirs"}).error["kind"] == "credential"
    assert server.asked == []


def test_a_payload_names_no_credential(server: Server) -> None:
    credential(server)
    step = {"id": "a", "action": "http_request", "payload": "{{ input }}", "retry": "none"}
    given = {"url": server.url("/echo"), "credential": "crm"}
    [run_id] = begun(published(f"name: data\nsteps: [{json.dumps(step)}]"), given)
    drain()
    error: Any = steps(run_id)["a"].error
    assert "is not named in the definition" in error["message"]
    assert server.asked == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("steps: [{id: a, action: transform, with: {set: {t: '{{ secrets.crm.token }}'}}}]", "steps[0].with.set.t"),
        ("steps: [{id: a, action: compute, with: {expression: 'secrets.crm.token'}}]", "steps[0].with"),
        ("steps: [{id: a, action: default, if: 'secrets.crm.token == 1'}]", "steps[0].if"),
        ("steps: [{id: a, action: default, for_each: {items: '{{ secrets.crm }}'}}]", "steps[0].for_each.items"),
        ("steps: [{id: a, action: default}]\noutput: '{{ secrets.crm.token }}'", "output"),
        (
            "steps: [{id: a, action: default}]\nconcurrency: {limit: 1, key: '{{ secrets.crm.token }}'}",
            "concurrency.key",
        ),
        ("steps: [{id: a, action: http_request, payload: '{{ secrets }}'}]", "steps[0].payload"),
        (
            "steps: [{id: a, action: http_request, with: {url: u, body: '{{ secrets.crm.token|upper }}'}}]",
            "steps[0].with",
        ),
        ("steps: [{id: a, action: http_request, with: {url: u, body: '{{ secrets }}'}}]", "steps[0].with.body"),
        (
            "steps: [{id: a, action: http_request, with: {url: u, body: '{{ secrets[input.x].token }}'}}]",
            "steps[0].with",
        ),
        (
            "steps: [{id: a, action: http_request, with: {url: u, body_template: '{{ secrets.crm.token }}'}}]",
            "steps[0].with.body_template",
        ),
        (
            "steps: [{id: a, action: http_request, with: {url: u, credential: '{{ input.c }}'}}]",
            "steps[0].with.credential",
        ),
        (
            "steps: [{id: a, action: default}]\nfinally: [{id: b, action: wait, with: {for: '{{ secrets.c.t }}'}}]",
            "finally",
        ),
    ],
)
def test_a_secret_is_refused_at_publish_where_it_could_be_recorded(text: str, place: str) -> None:
    with pytest.raises(DefinitionError) as error:
        published(f"name: bad\n{text.replace('url: u', 'url: https://a.test/')}")
    assert any(problem.path.startswith(place) for problem in error.value.problems), error.value.problems


def test_an_input_that_is_called_secrets_goes_on_being_one(server: Server) -> None:
    more = "inputs: {type: object, properties: {secrets: {type: object}}}"
    url = {"url": server.url("/echo"), "method": "POST", "body": "{{ secrets.crm.token }}"}
    performed(url, given={"secrets": {"crm": {"token": "of the input"}}}, more=more)
    assert sent(server)["body"] == "of the input"


def test_a_publish_warns_of_credentials_that_are_not_there_and_takes_the_right_to_use_them(server: Server) -> None:
    credential(server)
    with_ = "url: https://a.test/, body: '{{ secrets.crm.tokem }}', credential: crn"
    text = f"name: warned\nsteps: [{{id: a, action: http_request, with: {{{with_}}}}}]"
    first, second = published(text).warnings
    assert "steps[0].with.credential: workspace 'default' has no credential 'crn' now; did you mean 'crm'?" in first
    assert "credential 'crm' of kind bearer has no field 'tokem'; did you mean 'token'?" in second
    staff = permissions.at_admin(User.objects.create(username="staff", is_staff=True))
    document = parse.load(text).document
    with pytest.raises(Forbidden, match="may not publish workflows that use credentials"):
        publish(document, workspace=workspace(), owner=owner(), caller=staff)
    plain: Any = {"name": "plain", "steps": [{"id": "a", "action": "default"}]}
    publish(plain, workspace=workspace(), owner=owner(), caller=staff)


def test_steps_cost_no_statement_more_once_a_credential_is_open(server: Server) -> None:
    credential(server)
    found = published(
        f"name: many\nsteps: [{{id: a, action: http_request, with: {{url: '{server.url('/echo')}', credential: crm}}}}]"
    )
    counts = []
    for _ in range(2):
        begun(found, *({} for _ in range(5)))
        with CaptureQueriesContext(connection) as asked:
            drain()
        counts.append(len([one for one in asked.captured_queries if "workflows_credential" in one["sql"]]))
    assert counts[1] == 0
    assert len(server.asked) == 10
    changed = Credential.objects.get()
    store.replace(changed, Wanted("crm", "bearer", {"token": f"{TOKEN}-2"}, [host(server)]))
    vault.forget()
    begun(found)
    drain()
    assert sent(server)["headers"]["authorization"] == f"Bearer {TOKEN}-2"


def test_a_rate_limit_holds_an_attempt_back_and_fails_it_when_it_takes_too_long(server: Server) -> None:
    wanted = Wanted("crm", "bearer", {"token": TOKEN}, [host(server)], requests="3/h")
    store.create(wanted, workspace=workspace(), by=None)
    rates.forget()
    step = {
        "id": "a",
        "action": "http_request",
        "with": {"url": server.url("/echo"), "credential": "crm"},
        "timeout": 2,
    }
    ids = begun(published(f"name: limited\nsteps: [{json.dumps({**step, 'retry': 'none'})}]"), {}, {}, {}, {})
    drain()
    errors: list[Any] = [steps(one)["a"].error for one in ids]
    assert len(server.asked) == 3
    [error] = [one for one in errors if one]
    assert error["kind"] == "rate_limited"
    assert "credential 'crm' may be used 3/h" in error["message"]


class _Provider(BaseHTTPRequestHandler):
    """An OAuth2 provider: gives tokens, and takes only the newest one."""

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        told = self.server.told  # type: ignore[attr-defined]
        told.append((self.headers.get("Authorization"), form))
        if form.get("client_id") == ["unknown"]:
            return self._send(401, {"error": "invalid_client", "error_description": f"not {TOKEN}"})
        return self._send(
            200, {"access_token": f"access-token-{len(told)}", "expires_in": 3600, "token_type": "Bearer"}
        )

    def do_GET(self) -> None:
        newest = f"Bearer access-token-{len(self.server.told)}"  # type: ignore[attr-defined]
        ok = self.headers.get("Authorization") == newest
        self._send(200 if ok else 401, {"sent": self.headers.get("Authorization")})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        pass


def test_an_access_token_is_fetched_once_kept_sealed_and_fetched_again_when_it_is_refused(server: Server) -> None:
    provider = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    told: list[Any] = []
    provider.told = told  # type: ignore[attr-defined]
    threading.Thread(target=provider.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    url = f"http://127.0.0.1:{provider.server_port}"
    values = {"token_url": f"{url}/token", "client_id": "me", "client_secret": CANARY, "scope": "a b"}
    hosts = [url]
    kind = "oauth2_client_credentials"
    store.create(Wanted("idp", kind, values, hosts), workspace=workspace(), by=None)
    wrong = {**values, "client_id": "unknown", "authentication": "body"}
    store.create(Wanted("wrong", kind, wrong, hosts), workspace=workspace(), by=None)
    try:
        step = json.dumps({"id": "a", "action": "http_request", "with": {"url": f"{url}/api", "credential": "idp"}})
        found = published(f"name: oauth\nsteps: [{step}]")
        runs: list[UUID] = []
        for _ in range(2):
            runs += begun(found, {}, {}, {})
            drain()
            vault.forget()
        assert len(told) == 1
        outputs: list[Any] = [steps(run)["a"].output for run in runs]
        assert [output["body"]["sent"] for output in outputs] == ["Bearer [credential idp]"] * 6
        assert told[0][1] == {"grant_type": ["client_credentials"], "scope": ["a b"]}
        row = Credential.objects.get(name="idp")
        assert b"access-token" not in bytes(row.token or b"")
        told.append((None, {}))  # the provider forgets the token that it gave
        failed = performed({"url": f"{url}/api", "credential": "idp"})
        assert "did not accept the access token of the credential 'idp'" in failed.error["message"]
        assert performed({"url": f"{url}/api", "credential": "idp"}).state == "succeeded"
        refused = performed({"url": f"{url}/api", "credential": "wrong"})
        assert "answered 401: invalid_client; check client_id" in refused.error["message"]
        assert TOKEN not in json.dumps(list(DeadLetter.objects.values("error", "attempts", "config")), default=str)
    finally:
        provider.shutdown()
        provider.server_close()
