from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse, reverse_lazy
from django.utils import timezone

from tests.workflows.definitions import document, step
from workflows.models import ApiToken, Scope, Step, Version, Workflow, Workspace
from workflows.publishing.publish import job_version, publish
from workflows.workspaces import tokens


@pytest.fixture
def browser(owner: User, client: Client) -> Client:
    client.force_login(owner)
    return client


@pytest.fixture
def workflow(workspace: Workspace, owner: User) -> Workflow:
    given = document(step("a"), step("b", name="<b>bold</b>"), description="<script>alert(1)</script>")
    return publish(given, workspace=workspace, owner=owner).workflow


def form_of(page: str) -> dict[str, str]:
    """The values that a browser would send back from the page's form."""
    values: dict[str, str] = {}
    for tag in re.findall(r"<input\b[^>]*>", page):
        name, value = re.search(r'\bname="([^"]*)"', tag), re.search(r'\bvalue="([^"]*)"', tag)
        if name and not re.search(r'type="(checkbox|submit)"', tag):
            values[name[1]] = value[1].replace("&quot;", '"') if value else ""
    for name, text in re.findall(r'<textarea\b[^>]*\bname="([^"]*)"[^>]*>(.*?)</textarea>', page, re.DOTALL):
        values[name] = text.strip().replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")
    for name, options in re.findall(r'<select\b[^>]*\bname="([^"]*)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options)
        values[name] = chosen[1] if chosen else ""
    return {name: value for name, value in values.items() if "__prefix__" not in name and name != "action"}


@pytest.mark.parametrize("model", ["workspace", "apitoken", "workflow", "version"])
def test_lists_cost_the_same_number_of_queries_however_long_they_are(
    model: str,
    browser: Client,
    workflow: Workflow,
    owner: User,
    django_assert_max_num_queries: Callable[..., object],
) -> None:
    def fill(n: int) -> None:
        other = Workspace.objects.create(name=f"other {n}")
        tokens.issue(other, owner, "ci")
        publish(document(step(f"s{n}")), workspace=other, owner=owner)

    url = reverse(f"admin:workflows_{model}_changelist")
    fill(0)
    with django_assert_max_num_queries(12) as few:  # type: ignore[attr-defined]
        assert browser.get(url).status_code == 200
    for n in range(1, 6):
        fill(n)
    with django_assert_max_num_queries(len(few.captured_queries)):  # type: ignore[attr-defined]
        assert browser.get(url).status_code == 200


def test_pages_escape_what_authors_write(browser: Client, workflow: Workflow) -> None:
    for page in ("workflow", "version"):
        target = workflow.pk if page == "workflow" else workflow.current_id
        text = browser.get(reverse(f"admin:workflows_{page}_change", args=[target])).content.decode()
        assert "<script>alert(1)" not in text
        assert "<b>bold" not in text
        assert "&lt;b&gt;bold" in text


def test_the_page_of_a_draft_says_what_each_step_s_action_takes(browser: Client, workflow: Workflow) -> None:
    Step.objects.create(workflow=workflow, position=8, key="c", action="compute")
    Step.objects.create(workflow=workflow, position=9, key="d", action="comptue")
    page = browser.get(reverse("admin:workflows_workflow_change", args=[workflow.pk])).content.decode()
    assert "compute: Compute a chain of" in page
    assert "- iterations (whole number, default 1000): How many hashes to chain" in page
    assert "there is no action &#x27;comptue&#x27;; did you mean &#x27;compute&#x27;?" in page
    assert "One of approval, compute, condition" in page


def test_a_version_s_page_shows_its_yaml_and_nothing_can_be_changed(browser: Client, workflow: Workflow) -> None:
    url = reverse("admin:workflows_version_change", args=[workflow.current_id])
    assert "- id: a\n" in browser.get(url).content.decode()
    assert browser.post(url, {"number": 7}).status_code == 403
    assert browser.get(reverse("admin:workflows_version_add")).status_code == 403


def test_saving_a_draft_publishes_nothing_and_the_button_publishes_it(browser: Client, workflow: Workflow) -> None:
    url = reverse("admin:workflows_workflow_change", args=[workflow.pk])
    form = form_of(browser.get(url).content.decode())
    form["steps-0-key"] = "first"
    browser.post(url, {**form, "_save": "Save"})
    assert Step.objects.filter(key="first").exists()
    assert Version.objects.count() == 1

    answer = browser.post(url, {**form, "workflows_workflow_publish_draft": "1"}, follow=True).content.decode()
    assert "version 2 is published" in answer
    current = Workflow.objects.get(pk=workflow.pk).current
    assert current is not None
    assert [each["id"] for each in current.definition["steps"]] == ["first", "b"]


@pytest.mark.parametrize("name", ["a/pause", "a/../b", "a/", "0197f0aa-7c1e-7f5e-8a00-000000000001"])
def test_a_workflow_is_not_renamed_to_what_an_address_cannot_hold(
    name: str, browser: Client, workflow: Workflow
) -> None:
    url = reverse("admin:workflows_workflow_change", args=[workflow.pk])
    form = form_of(browser.get(url).content.decode())
    browser.post(url, {**form, "name": name, "_save": "Save"})
    assert Workflow.objects.get(pk=workflow.pk).name == form["name"]
    # A name that it has already stays, and the draft can be saved.
    Workflow.objects.update(name=name)
    browser.post(url, {**form, "name": name, "description": "changed", "_save": "Save"})
    assert Workflow.objects.get(pk=workflow.pk).description == "changed"


def test_a_bad_draft_is_kept_and_its_problems_are_shown_at_their_path(browser: Client, workflow: Workflow) -> None:
    url = reverse("admin:workflows_workflow_change", args=[workflow.pk])
    form = form_of(browser.get(url).content.decode())
    form["steps-1-action"] = "compte"
    page = browser.post(url, {**form, "workflows_workflow_publish_draft": "1"}, follow=True).content.decode()
    assert "steps[1].action: there is no action &#x27;compte&#x27;; did you mean &#x27;compute&#x27;?" in page
    assert Step.objects.get(key="b").action == "compte"
    assert Version.objects.count() == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": NaN}', "a: is no finite number"),
        ('{"a": 1e400}', "a: is no finite number"),
        ('{"a": "\\u0000"}', "a: has a NUL"),
        ('{"a": "\\ud800"}', "a: has a NUL or a lone surrogate"),
        ('{"a": 9223372036854775808}', "a: is an integer beyond 64 bits"),
        ("[" * 10_000 + "]" * 10_000, "is nested deeper than 64"),
    ],
)
@pytest.mark.parametrize("field", ["settings", "steps-1-config", "steps-1-more"])
def test_json_that_the_database_cannot_hold_is_refused_at_its_field(
    field: str, text: str, said: str, browser: Client, workflow: Workflow
) -> None:
    url = reverse("admin:workflows_workflow_change", args=[workflow.pk])
    form = form_of(browser.get(url).content.decode())
    answer = browser.post(url, {**form, field: text, "_save": "Save"})
    assert answer.status_code == 200
    assert said in answer.content.decode()


def test_publishing_comes_back_to_the_workflow_s_page(browser: Client, workflow: Workflow) -> None:
    url = reverse("admin:workflows_workflow_change", args=[workflow.pk])
    form = form_of(browser.get(url).content.decode())
    answer = browser.post(url, {**form, "workflows_workflow_publish_draft": "1"})
    assert answer.headers["Location"] == url


def test_a_page_of_a_long_workflow_keeps_the_steps_of_the_others(
    browser: Client, workspace: Workspace, owner: User
) -> None:
    long = publish(document(*(step(f"s{n}") for n in range(120))), workspace=workspace, owner=owner).workflow
    url = reverse("admin:workflows_workflow_change", args=[long.pk])
    form = form_of(browser.get(url).content.decode())
    form["steps-7-key"] = "seventh"
    page = browser.post(url, {**form, "workflows_workflow_publish_draft": "1"}, follow=True).content.decode()
    assert "version 2 is published" in page
    assert [*Step.objects.filter(workflow=long).values_list("key", flat=True)] == [
        "seventh" if n == 7 else f"s{n}" for n in range(120)
    ]


def test_drafts_are_published_from_the_list(browser: Client, workflow: Workflow) -> None:
    Step.objects.filter(key="b").delete()
    browser.post(
        reverse("admin:workflows_workflow_changelist"),
        {"action": "publish_selected", "_selected_action": [str(workflow.pk)]},
    )
    assert Version.objects.filter(workflow=workflow).count() == 2


def test_the_workflow_of_jobs_cannot_be_edited(browser: Client, workspace: Workspace, owner: User) -> None:
    version = job_version(workspace, owner=owner, action="compute", max_retries=1)
    url = reverse("admin:workflows_workflow_change", args=[version.workflow_id])
    assert browser.get(url).status_code == 200
    assert browser.post(url, {"name": "mine"}).status_code == 403


def token_form(workspace: Workspace, **others: object) -> dict[str, object]:
    """What a browser sends of a new token's form."""
    usual = {"name": "ci", "scopes": ["read"], "expires_at_0": "", "expires_at_1": ""}
    return {"workspace": str(workspace.pk), **usual, **others}


def staff(*permissions: str) -> tuple[User, Client]:
    """A user who is no superuser, with these of Django's permissions, and a browser in which they are logged in."""
    user = User.objects.create(username="staff", is_staff=True)
    for permission in permissions:
        label, name = permission.split(".")
        user.user_permissions.add(Permission.objects.get(content_type__app_label=label, codename=name))
    client = Client()
    client.force_login(user)
    return user, client


def test_a_token_is_shown_once_when_it_is_made(browser: Client, workspace: Workspace, owner: User) -> None:
    form = token_form(workspace, user=str(owner.pk))
    page = browser.post(reverse("admin:workflows_apitoken_add"), form, follow=True).content.decode()
    shown = re.search(r"stw_[A-Za-z0-9_-]{43}", page)
    assert shown is not None
    assert tokens.find(shown[0]) == ApiToken.objects.get()
    again = browser.get(reverse("admin:workflows_apitoken_change", args=[ApiToken.objects.get().pk]))
    assert shown[0] not in again.content.decode()


ADD, READS = reverse_lazy("admin:workflows_apitoken_add"), (
    "runs.view_run", "runs.change_deadletter", "workflows.view_workflow",
)  # fmt: skip


def test_a_new_token_s_form_offers_the_usual_scopes_and_a_year(browser: Client, workspace: Workspace) -> None:
    page = browser.get(ADD).content.decode()
    ticked = {scope for scope in Scope.values if re.search(rf'value="{scope}"[^>]*\schecked[\s>]', page)}
    assert ticked == {"read", "start", "operate", "publish", "use"}
    form = form_of(page)
    assert form["expires_at_0"] in {(timezone.now() + timedelta(days=days)).date().isoformat() for days in (364, 365)}


def test_who_may_add_tokens_adds_them_for_oneself_only(workspace: Workspace, owner: User) -> None:
    user, client = staff("workflows.add_apitoken", *READS)
    assert 'name="user"' not in client.get(ADD).content.decode()
    client.post(ADD, token_form(workspace, user=str(owner.pk)))
    token = ApiToken.objects.get()
    assert (token.user, token.scopes) == (user, ["read"])


@pytest.mark.parametrize(
    ("permissions", "may"),
    [
        ([], set()),
        (["runs.add_run"], {"start"}),
        (["runs.change_run"], set()),
        (["runs.change_run", "runs.change_deadletter"], {"operate"}),
        (["workflows.change_workflow"], set()),
        (["workflows.change_workflow", "workflows.add_workflow"], {"publish"}),
        (READS, {"read"}),
        (["runs.change_run", "runs.change_deadletter", "workflows.change_workflow"], {"read", "operate"}),
    ],
)
def test_nobody_gives_a_token_a_scope_for_what_they_may_not_do_at_the_admin(
    permissions: list[str], may: set[str], workspace: Workspace
) -> None:
    _, client = staff("workflows.add_apitoken", *permissions)
    given = set()
    for scope in Scope.values:
        client.post(ADD, token_form(workspace, scopes=[scope]))
        if ApiToken.objects.filter(scopes=[scope]).exists():
            given.add(scope)
    assert given == may


def test_a_superuser_gives_any_scope_to_anybody(browser: Client, workspace: Workspace) -> None:
    user, _ = staff()
    browser.post(ADD, token_form(workspace, user=str(user.pk), scopes=Scope.values))
    token = ApiToken.objects.get()
    assert (token.user, set(token.scopes)) == (user, set(Scope.values))


def test_others_tokens_are_changed_and_deleted_by_superusers_only(workspace: Workspace, owner: User) -> None:
    user, client = staff("workflows.change_apitoken", "workflows.delete_apitoken")
    theirs, mine = (tokens.issue(workspace, one, "ci", scopes=["read"])[0] for one in (owner, user))
    later = {"name": "renamed", "scopes": ["read"], "expires_at_0": "", "expires_at_1": ""}
    for token in (theirs, mine):
        client.post(reverse("admin:workflows_apitoken_change", args=[token.pk]), later)
    assert [*ApiToken.objects.order_by("pk").values_list("name", flat=True)] == ["ci", "renamed"]
    wider = {**later, "scopes": ["read", "publish", "admin"]}
    client.post(reverse("admin:workflows_apitoken_change", args=[mine.pk]), wider)
    mine.refresh_from_db()
    assert mine.scopes == ["read"]
    chosen = {"action": "delete_selected", "_selected_action": [str(theirs.pk), str(mine.pk)], "post": "yes"}
    client.post(reverse("admin:workflows_apitoken_changelist"), chosen)
    assert ApiToken.objects.filter(pk=theirs.pk).exists()
    client.post(reverse("admin:workflows_apitoken_delete", args=[theirs.pk]), {"post": "yes"})
    client.post(reverse("admin:workflows_apitoken_delete", args=[mine.pk]), {"post": "yes"})
    assert [*ApiToken.objects.all()] == [theirs]


def test_the_list_of_tokens_says_which_end_soon(browser: Client, workspace: Workspace, owner: User) -> None:
    url = reverse("admin:workflows_apitoken_changelist")
    tokens.issue(workspace, owner, "later", days=20)
    tokens.issue(workspace, owner, "ended", days=-1)
    assert "end soon" not in browser.get(url).content.decode()
    tokens.issue(workspace, owner, "nightly-import", days=9)
    page = browser.get(url).content.decode()
    assert re.search(r"These tokens end soon; make new ones for them: nightly-import \(stw_", page)
    assert "has ended" in page


def test_a_new_workspace_is_offered_a_limit_on_concurrent_runs(browser: Client, settings: LazySettings) -> None:
    def offered() -> str:
        return form_of(browser.get(reverse("admin:workflows_workspace_add")).content.decode())["concurrent_runs"]

    assert offered() == "1000"
    settings.DEFAULT_CONCURRENT_RUNS = 7
    assert offered() == "7"
    settings.DEFAULT_CONCURRENT_RUNS = 0
    assert offered() == ""
    given = {"name": "new", "concurrent_runs": "7"}
    assert browser.post(reverse("admin:workflows_workspace_add"), given).status_code == 302
    assert Workspace.objects.get(name="new").concurrent_runs == 7
