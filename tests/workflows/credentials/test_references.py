"""References instead of values: what is listed for the workspace can be used, and nothing else can be told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from actions.base import Permanent
from project import env
from tests.flows import workspace
from tests.workflows.credentials.test_store import CANARY
from workflows.credentials import references, store, vault
from workflows.credentials.store import Wanted
from workflows.definitions.errors import DefinitionError

pytestmark = pytest.mark.django_db


@pytest.fixture
def listed(settings: Settings, tmp_path: Path) -> Path:
    """A listed directory, with a file in it, and one beside it; and a listed variable."""
    vault.forget()
    inside, beside = tmp_path / "inside", tmp_path / "beside"
    for directory in (inside, beside):
        directory.mkdir()
        (directory / "token").write_text(f"{CANARY}\n")
    (inside / "link").symlink_to(beside / "token")
    (inside / "below").mkdir()
    (inside / "short").write_text("short")
    (inside / "long").write_text("x" * 20_000)
    settings.CREDENTIAL_REFERENCES = [("default", f"file:{inside}"), ("default", "env:CRM"), ("default", "env:NONE")]
    settings.CREDENTIAL_ENVIRONMENT_SECRETS = {"CRM": f"{CANARY}-env"}
    return tmp_path


def made(value: str, *, of: str = "default") -> Any:
    wanted = Wanted("crm", "bearer", {"token": value}, ["api.example.com"])
    store.create(wanted, workspace=workspace(of), by=None)
    return vault.opened(workspace(of).pk, "crm").values["token"]


def test_what_is_listed_is_read_when_it_is_opened(listed: Path) -> None:
    assert made("env:CRM") == f"{CANARY}-env"
    row = store.find("crm", workspace=workspace())
    assert row is not None
    store.replace(row, Wanted("crm", "bearer", {"token": f"file:{listed}/inside/token"}, row.hosts))
    assert vault.opened(workspace().pk, "crm").values["token"] == CANARY
    (listed / "inside" / "token").write_text(f"{CANARY}-2")
    assert vault.opened(workspace().pk, "crm").secrets == {f"{CANARY}-2"}


@pytest.mark.parametrize(
    "reference",
    [
        "env:SECRET_KEY", "env:DATABASE_URL", "env:PATH", "env:NO_SUCH_NAME", "env:", "env:CRM ", "env:crm",
        "env:CRM\0",
        "file:{0}/beside/token", "file:{0}/beside/none", "file:{0}/inside/../beside/token", "file:{0}/inside",
        "file:{0}/insidetoken", "file:inside/token", "file:/etc/passwd", "file:/proc/self/environ", "file:/",
        "file://{0}/beside/token", "file:~/x", "file:{0}/inside/\0", "file:{0}/inside/\n", "file:",
        "file:/" + "x" * 2000,
    ],
)  # fmt: skip
def test_what_is_not_listed_is_refused_with_the_same_words(reference: str, listed: Path) -> None:
    with pytest.raises(DefinitionError) as error:
        made(reference.format(listed))
    assert [str(one) for one in error.value.problems] == [f"values.token: {references.UNLISTED}"]


def test_another_workspace_s_entries_are_not_listed(listed: Path, settings: Settings) -> None:
    for reference in ("env:CRM", f"file:{listed}/inside/token"):
        with pytest.raises(DefinitionError, match="does not list for the workspace"):
            made(reference, of="other")
    settings.CREDENTIAL_REFERENCES = [("*", "env:CRM")]
    assert made("env:CRM", of="other") == f"{CANARY}-env"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:NONE", "this process's environment does not have it"),
        ("file:{0}/inside/none", "there is no file of text"),
        ("file:{0}/inside/below", "there is no file of text|no regular file"),
        ("file:{0}/inside/link", "does not list for the workspace"),
        ("file:{0}/inside/short", "values.token: has 5 characters"),
        ("file:{0}/inside/long", "more than 16,384 bytes"),
    ],
)
def test_what_leads_nowhere_fails_when_it_is_opened(reference: str, said: str, listed: Path) -> None:
    with pytest.raises(Permanent, match=said) as error:
        made(reference.format(listed))
    assert error.value.kind == "credential"
    assert CANARY not in str(error.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("default=env:SECRET_KEY", "names a setting of Stepwise"),
        ("*=env:CREDENTIAL_KEYS", "names a setting of Stepwise"),
        ("*=env:STEPWISE_ADMIN_PASSWORD", "names a setting of Stepwise"),
        ("env:CRM", "must be WORKSPACE=env:NAME"),
        ("default=CRM", "must be WORKSPACE=env:NAME"),
        ("default=file:secrets", "by its absolute path"),
        ("default=file:/", "would reach the files of Stepwise"),
        ("default=file:/etc/stepwise", "would reach the files of Stepwise"),
        (f"default=file:{env.BASE_DIR}/examples", "would reach the files of Stepwise"),
    ],
)
def test_the_setting_lists_nothing_of_ours(entry: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIAL_REFERENCES", entry)
    with pytest.raises(env.SettingError, match=said):
        env.env_references("CREDENTIAL_REFERENCES")
