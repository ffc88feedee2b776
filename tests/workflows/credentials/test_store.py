"""Credentials at rest: kinds and their schemas, hosts, encryption, and keys that change or are lost."""

from __future__ import annotations

import base64
import io
import secrets
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from pytest_django import Settings

from actions.credentials import parse_host, shown_host
from project import env
from tests.flows import published, workspace
from workflows.credentials import encryption, kinds, store
from workflows.credentials.encryption import KeyMissing, Owner, Sealed
from workflows.credentials.store import InUse, Wanted
from workflows.definitions.errors import DefinitionError
from workflows.models import Credential

pytestmark = pytest.mark.django_db

CANARY = "canary-4711-abcdefgh"
# Values that each kind takes; the secret ones have the canary.
VALUES: dict[str, dict[str, Any]] = {
    "bearer": {"token": CANARY},
    "basic": {"username": "ada", "password": CANARY},
    "api_key": {"name": "X-Key", "value": CANARY, "place": "query"},
    "signing_secret": {"secret": CANARY},
    "oauth2_client_credentials": {
        "token_url": "https://login.example.com/token",
        "client_id": "me",
        "client_secret": CANARY,
    },
    "smtp": {"host": "mail.example.com", "username": "ada", "password": CANARY},
    "postgresql": {"host": "db.example.com", "database": "shop", "username": "ada", "password": CANARY},
    "s3": {"endpoint": "https://s3.example.com", "access_key_id": "AK", "secret_access_key": CANARY},
    "fields": {"first": CANARY, "second": CANARY[::-1]},
}


def made(name: str = "crm", kind: str = "bearer", **more: Any) -> Credential:
    given = {"values": VALUES[kind], "hosts": ["api.example.com"], **more}
    return store.create(Wanted(name=name, kind=kind, **given), workspace=workspace(), by=None)


def fresh_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def opened(row: Credential) -> bytes:
    return encryption.unseal(Sealed(row.key_id, bytes(row.sealed)), owner=store.owner_of(row))


def refused(**given: Any) -> str:
    with pytest.raises(DefinitionError) as error:
        made(**given)
    assert CANARY not in str(error.value)
    return str(error.value)


def test_each_kind_is_stored_encrypted_and_opens_with_its_own_values() -> None:
    assert set(VALUES) == set(kinds.KINDS)
    for kind, values in VALUES.items():
        row = made(kind, kind)
        assert CANARY.encode() not in bytes(row.sealed)
        assert CANARY.encode() in opened(row)
        assert set(values) <= set(row.fields)
        assert all(CANARY in one or CANARY[::-1] in one for one in kinds.secrets_of(kind, values))
        assert kinds.find(kind).json_schema()["type"] == "object"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"values": {"token": "short-1"}}, "values.token: has 7 characters; a secret has at least 8"),
        ({"values": {"token": "aaaaaaaaaa"}}, "fewer than 4 different characters"),
        ({"values": {"token": f"{CANARY}\r\nX: y"}}, "printable ASCII characters only"),
        ({"values": {"token": CANARY * 1000}}, "16384 characters"),
        ({"values": {"token": [CANARY]}}, "values.token: must be a valid string"),
        ({"values": {"tokem": CANARY}}, "values.tokem: is no value of kind bearer; did you mean 'token'?"),
        ({"values": {}}, "values.token: is required for kind bearer"),
        ({"kind": "basic", "values": {"username": "a:b", "password": CANARY}}, "values.username"),
        ({"kind": "fields", "values": {}}, "must have 1 to 50 fields, not 0"),
        ({"kind": "fields", "values": {"a b": CANARY}}, "'a b' is no name of a field"),
        ({"kind": "fields", "values": {"a": 12345678}}, "values.a: must be a text"),
        ({"kind": "fields", "values": {f"f{n}": CANARY for n in range(51)}}, "must have 1 to 50 fields, not 51"),
        ({"kind": "s3", "values": {**VALUES["s3"], "endpoint": "http://s3.example.com"}}, "begins with https://"),
        ({"name": "1st"}, "name: must be 1 to 64 letters"),
        ({"name": "a" * 65}, "name: must be 1 to 64 letters"),
        ({"hosts": []}, "hosts: is required for kind bearer"),
        ({"hosts": ["*.com"]}, "hosts[0]: '*.com' is a whole top-level domain"),
        ({"hosts": ["https://api.example.com/path"]}, "hosts[0]"),
        ({"hosts": ["api.example.com:0"]}, "has the port 0"),
        ({"hosts": ["a.example.com"] * 51}, "has 51 entries; 50 are the most"),
        ({"requests": "10 per second"}, "requests: must be a count and a unit, as in 10/s"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_and_without_its_value(given: dict[str, Any], said: str) -> None:
    assert said in refused(**given)
    assert not Credential.objects.exists()


def test_an_unknown_kind_and_a_name_that_is_taken_are_refused() -> None:
    with pytest.raises(DefinitionError, match="there is no kind 'barer' of credentials; did you mean 'bearer'"):
        store.create(Wanted("crm", "barer", {}), workspace=workspace(), by=None)
    made()
    with pytest.raises(DefinitionError, match="there is a credential 'crm' already; PUT replaces its values"):
        made()
    store.create(Wanted("crm", "bearer", VALUES["bearer"], ["b.example.com"]), workspace=workspace("other"), by=None)


@pytest.mark.parametrize(
    ("entry", "place", "holds"),
    [
        ("api.example.com", ("https", "api.example.com", 443), True),
        ("API.Example.com.", ("https", "api.example.com", 443), True),
        ("api.example.com", ("http", "api.example.com", 80), False),
        ("api.example.com", ("https", "api.example.com", 8443), False),
        ("api.example.com", ("https", "api.example.com.evil.test", 443), False),
        ("api.example.com", ("https", "xapi.example.com", 443), False),
        ("api.example.com:8443", ("https", "api.example.com", 8443), True),
        ("http://crm.local:8000", ("http", "crm.local", 8000), True),
        ("http://crm.local:8000", ("https", "crm.local", 8000), False),
        ("*.example.com", ("https", "a.b.example.com", 443), True),
        ("*.example.com", ("https", "example.com", 443), False),
        ("*.example.com", ("https", "notexample.com", 443), False),
        ("[::1]:8443", ("https", "::1", 8443), True),
        ("bücher.example", ("https", "xn--bcher-kva.example", 443), True),
    ],
)
def test_an_entry_of_hosts_means_one_scheme_name_and_port(entry: str, place: tuple[str, str, int], holds: bool) -> None:
    assert parse_host(entry).holds(*place) is holds
    assert parse_host(shown_host(parse_host(entry))) == parse_host(entry)


def test_sealed_values_open_in_their_own_row_only_and_a_new_name_changes_nothing() -> None:
    row, other = made(), made("other")
    Credential.objects.filter(pk=row.pk).update(name="renamed")
    row.refresh_from_db()
    assert CANARY.encode() in opened(row)
    sealed = Sealed(row.key_id, bytes(row.sealed))
    whose = [
        store.owner_of(other),
        store.owner_of(row, part="token"),
        Owner(row.workspace_id, row.pk, "basic"),
        Owner(other.pk, row.pk, row.kind),
    ]
    for owner in whose:
        with pytest.raises(KeyMissing, match="copied from another row"):
            encryption.unseal(sealed, owner=owner)
    with pytest.raises(KeyMissing, match="was changed"):
        encryption.unseal(Sealed(row.key_id, sealed.data[:-1] + b"x"), owner=store.owner_of(row))
    assert bytes(made("again").sealed) != bytes(row.sealed)


def test_keys_are_rotated_beside_everything_and_a_lost_one_is_told_by_names(settings: Settings) -> None:
    old, new = settings.CREDENTIAL_KEYS, [fresh_key()]
    rows = [made(f"c{n}") for n in range(3)]
    settings.CREDENTIAL_KEYS = [*new, *old]
    assert CANARY.encode() in opened(rows[0])
    out = io.StringIO()
    call_command("rotate_keys", stdout=out)
    assert "3 of 3 credentials" in out.getvalue()
    settings.CREDENTIAL_KEYS = new
    for row in Credential.objects.all():
        assert CANARY.encode() in opened(row)
    assert not store.locked()
    settings.CREDENTIAL_KEYS = old
    assert store.locked() == ["default/c0", "default/c1", "default/c2"]
    [warning] = [one for one in run_checks(databases=["default"]) if one.id == "stepwise.W019"]
    assert "default/c0, default/c1, default/c2" in warning.msg
    err = io.StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("rotate_keys", "--check", stderr=err)
    assert left.value.code == 1
    assert "opens default/c1; add the key" in err.getvalue()


@pytest.mark.parametrize("entry", ["", "c2hvcnQ=", "not base64!", CANARY])
def test_a_key_that_is_none_is_told_without_the_key(entry: str, settings: Settings) -> None:
    settings.CREDENTIAL_KEYS = [entry] if entry else []
    with pytest.raises(KeyMissing, match="make one with") as error:
        made()
    assert not entry or entry not in str(error.value)


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# the newest first\n{fresh_key()}\n\n{fresh_key()}\n")
    assert len(env.lines_of(str(file), name="CREDENTIAL_KEYS_FILE")) == 2
    with pytest.raises(env.SettingError, match=r"CREDENTIAL_KEYS_FILE=.*cannot be read"):
        env.lines_of(str(tmp_path / "none"), name="CREDENTIAL_KEYS_FILE")


def test_what_workflows_refer_to_is_not_deleted_unawares() -> None:
    rows = {name: made(name, "fields") for name in ("crm", "crm2", "orders-hook", "undone", "free")}
    published("name: one\nsteps: [{id: a, action: http_request, with: {url: 'https://a.test/', credential: crm}}]")
    published(
        "name: two\nsteps: [{id: a, action: notify, with: {channel: ops, text: hi}, "
        "compensate: {action: http_request, with: {url: 'https://a.test/', credential: undone}}}]"
    )
    for name in ("crm", "undone"):
        with pytest.raises(InUse, match=r"is used by the workflow '(one|two)'"):
            store.delete(rows[name])
    assert store.delete(rows["crm2"]) == []
    assert store.delete(rows["free"]) == []
    assert store.delete(rows["crm"], force=True) == ["one"]
    assert {row.name for row in Credential.objects.all()} == {"orders-hook", "undone"}


def test_the_command_takes_values_from_a_file_or_standard_input_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace()
    file = tmp_path / "values.json"
    file.write_text(f'{{"token": "{CANARY}"}}')
    out = io.StringIO()
    given = ["crm", "--kind", "bearer", "--host", "api.example.com", "--values"]
    call_command("set_credential", *given, str(file), stdout=out)
    monkeypatch.setattr("sys.stdin", io.StringIO(f'{{"token": "{CANARY}-2"}}'))
    call_command("set_credential", "crm", "--values", "-", "--requests", "10/s", stdout=out)
    row = Credential.objects.get()
    assert (row.hosts, row.requests, f"{CANARY}-2".encode() in opened(row)) == (["api.example.com"], "10/s", True)
    file.write_text(f'{{"token": {CANARY}}}')
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    err = io.StringIO()
    for wrong in ([*given, str(file)], ["new", "--values", "-"], ["crm"], ["crm", "--kind", "basic", "--values", "-"]):
        with pytest.raises(SystemExit):
            call_command("set_credential", *wrong, stdout=out, stderr=err)
    assert CANARY not in out.getvalue() + err.getvalue()
    assert "nobody can be asked here" in err.getvalue()
