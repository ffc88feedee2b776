from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from actions.base import Json
from tests.waiting import wait_for
from tests.workflows.definitions import document, step
from tests.workflows.test_forms import PIPELINE
from workflows.definitions.definition import Definition
from workflows.definitions.errors import DefinitionError, InvalidInput
from workflows.models import Step, Version, Workflow, Workspace
from workflows.publishing.inputs import check_input
from workflows.publishing.jobs import check_payload
from workflows.publishing.publish import Published, job_version, publish, publish_draft

Publish = Callable[[Json], Published]


@pytest.fixture
def put(workspace: Workspace, owner: User) -> Publish:
    return lambda given: publish(given, workspace=workspace, owner=owner)


def test_a_new_name_makes_the_workflow_and_its_first_version(put: Publish, owner: User) -> None:
    done = put(document(step("a"), step("b")))
    assert (done.workflow_created, done.version_created, done.version.number) == (True, True, 1)
    assert done.workflow.current == done.version
    assert done.workflow.owner == owner
    assert done.version.roots == ["a"]
    assert Definition.model_validate(done.version.definition).hash() == done.version.hash


def test_a_known_name_publishes_the_next_version(put: Publish) -> None:
    first, second = put(document(step("a"))), put(document(step("b")))
    assert second.workflow == first.workflow
    assert (second.workflow_created, second.version_created, second.version.number) == (False, True, 2)


def test_unchanged_content_keeps_its_version_in_whatever_form_it_comes(put: Publish) -> None:
    first = put(document(step("a"), step("b")))
    again = put(document(step("a", needs=[]), step("b", needs="a", action="noop")))
    assert again.version == first.version
    assert not again.version_created


def test_content_of_an_older_version_makes_it_current_again(put: Publish) -> None:
    first, _ = put(document(step("a"))), put(document(step("b")))
    back = put(document(step("a")))
    assert (back.version, back.version_created) == (first.version, False)
    assert Workflow.objects.get().current == first.version
    assert [*Step.objects.values_list("key", flat=True)] == ["a"]


def test_what_is_refused_stores_nothing(put: Publish) -> None:
    with pytest.raises(DefinitionError):
        put(document(step("a", needs=["b"])))
    assert not Workflow.objects.exists()


def test_the_name_is_taken_from_outside_only_where_the_document_has_none(workspace: Workspace, owner: User) -> None:
    nameless: Json = {"steps": [step("a")]}
    assert publish(nameless, workspace=workspace, owner=owner, name="outside").workflow.name == "outside"
    assert publish(document(step("a")), workspace=workspace, owner=owner, name="outside").workflow.name == "example"


def test_the_short_form_answers_the_first_run_s_input(put: Publish) -> None:
    done = put(PIPELINE)
    assert done.start_input is not None
    check_input(done.version, done.start_input)


def test_the_database_refuses_to_change_a_version(put: Publish) -> None:
    version = put(document(step("a"))).version
    with pytest.raises(DatabaseError, match="is frozen"), transaction.atomic():
        Version.objects.filter(pk=version.pk).update(number=7)


def test_step_rows_mirror_what_was_published_and_publish_back_to_the_same_version(put: Publish, owner: User) -> None:
    everything = step(
        "b", needs=["a"], name="the b", if_="steps.a.output", join="all_done", timeout="1.5s", on_error="continue",
        retry={"max_attempts": 2}, compensate={"action": "noop"},
    )  # fmt: skip
    done = put(document(step("a"), everything, step("c"), output="{{ input }}", labels={"team": "shop"}))
    again = publish_draft(done.workflow, by=owner)
    assert (again.version, again.version_created) == (done.version, False)
    assert Step.objects.get(key="b").timeout == "1.5"


def test_an_edited_draft_becomes_the_next_version(put: Publish, owner: User) -> None:
    workflow = put(document(step("a"), step("b"))).workflow
    Step.objects.create(workflow=workflow, position=2, key="c", action="compute", config={"iterations": 1})
    done = publish_draft(workflow, by=owner)
    assert done.version.number == 2
    assert done.version.definition["steps"][2]["needs"] == ["b"]


def test_a_bad_draft_is_refused_at_the_path_of_the_fault(put: Publish, owner: User) -> None:
    workflow = put(document(step("a"))).workflow
    Step.objects.create(workflow=workflow, position=1, key="c", action="notify")
    with pytest.raises(DefinitionError, match=r"steps\[1\]\.with\.channel: is required"):
        publish_draft(workflow, by=owner)
    Workflow.objects.update(settings=["not", "a", "mapping"])
    with pytest.raises(DefinitionError, match="settings: must be a mapping"):
        publish_draft(Workflow.objects.get(), by=owner)


def test_jobs_of_one_type_and_number_of_retries_share_a_version(workspace: Workspace, owner: User) -> None:
    def version(action: str, retries: int | None) -> Version:
        return job_version(workspace, owner=owner, action=action, max_retries=retries)

    assert version("http_call", 3) == version("http_request", 3)
    assert version("compute", 3) != version("compute", 2) != version("compute", None)
    workflow = Workflow.objects.get()
    assert (workflow.name, workflow.kind) == ("_jobs", "jobs")
    assert version("compute", 3).definition["steps"] == [
        {"id": "compute", "needs": [], "action": "compute", "payload": "{{ input }}", "retry": {"max_attempts": 4}}
    ]


def test_a_job_that_cannot_work_is_refused_at_its_path(workspace: Workspace, owner: User) -> None:
    with pytest.raises(DefinitionError, match=r"^type: there is no action 'compte'; did you mean 'compute'"):
        job_version(workspace, owner=owner, action="compte", max_retries=1)
    with pytest.raises(DefinitionError, match=r"^max_retries: must be a whole number"):
        job_version(workspace, owner=owner, action="compute", max_retries=-1)
    with pytest.raises(DefinitionError, match=r"^payload\.iterations: "):
        check_payload("compute", {"iterations": "many"})
    assert check_payload("compute", {"iterations": 5}) == {"iterations": 5}


def test_a_job_s_payload_is_data_in_which_only_what_the_action_evaluates_is_an_expression() -> None:
    assert check_payload("notify", {"channel": "{{ 1 + }}"})
    with pytest.raises(DefinitionError, match=r"^payload\.iterations: "):
        check_payload("compute", {"iterations": "{{ input.n }}"})
    with pytest.raises(DefinitionError, match=r"^payload\.body_template\.email: "):
        check_payload("http_request", {"url": "https://x.example", "body_template": {"email": "{{ 1 + }}"}})


def test_an_input_is_checked_by_the_version_s_schema(put: Publish) -> None:
    schema: Json = {"type": "object", "required": ["email"], "properties": {"age": {"type": "integer"}}}
    version = put(document(step("a"), inputs=schema)).version
    check_input(version, {"email": "x"})
    with pytest.raises(InvalidInput) as caught:
        check_input(version, {"age": "old"})
    assert [problem.path for problem in caught.value.problems] == ["input", "input.age"]


@pytest.mark.django_db(transaction=True)
def test_publishing_at_the_same_time_numbers_versions_one_after_another(workspace: Workspace, owner: User) -> None:
    def put(n: int) -> int:
        try:
            given = document(step(f"s{n}"))
            return publish(given, workspace=workspace, owner=owner).version.number
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(put, range(12))) == [*range(1, 13)]
    assert Workflow.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_publisher_waits_for_the_one_before_it(workspace: Workspace, owner: User) -> None:
    workflow = publish(document(step("a")), workspace=workspace, owner=owner).workflow

    def put() -> int:
        try:
            return publish(document(step("b")), workspace=workspace, owner=owner).version.number
        finally:
            connection.close()

    def waits() -> bool:
        with connection.cursor() as cursor:
            # Activity is read once per transaction otherwise.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            row = cursor.fetchone()
        return row is not None and row[0] > 0

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Workflow.objects.select_for_update(no_key=True).get(pk=workflow.pk)
            other = pool.submit(put)
            wait_for(waits, what="the second publisher to wait for the lock")
            Version.objects.create(workflow=workflow, number=2, hash="0" * 64, definition={}, roots=[])
        assert other.result(timeout=60) == 3
