from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from tests.workflows.definitions import read
from workflows.models import ApiToken, Workflow, Workspace
from workflows.workspaces import tokens

EXAMPLES = sorted(map(str, Path(__file__).parents[2].joinpath("examples").glob("*.*")))
pytestmark = pytest.mark.usefixtures("workspace", "owner")


def refused(*arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        call_command(*arguments)
    assert caught.value.code == 2


def test_all_examples_are_loaded_and_loading_again_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("load_workflow", *EXAMPLES)
    first = capsys.readouterr()
    assert first.err == ""
    assert "order-intake version 1 created" in first.out.splitlines()
    call_command("load_workflow", *EXAMPLES)
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["unchanged"] * len(EXAMPLES)


def test_bad_files_are_refused_with_one_line_a_problem_and_the_others_are_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, worse = tmp_path / "good.yaml", tmp_path / "bad.yaml", tmp_path / "worse.yaml"
    good.write_text("steps: [{id: a, action: noop}]")
    bad.write_text("name: bad\nsteps:\n  - {id: a, action: compte}\n  - {id: b, action: noop, neds: []}\n")
    worse.write_text("a: [")
    refused("load_workflow", str(bad), str(worse), str(tmp_path / "missing.yaml"), str(good))
    out, err = capsys.readouterr()
    assert out == "good version 1 created\n"
    lines = err.splitlines()
    assert lines[0] == f"{bad}: steps[1].neds (line 4): is not a known key; did you mean 'needs'?"
    assert "is neither YAML nor JSON" in lines[1]
    assert lines[2] == f"{tmp_path}/missing.yaml: cannot be read: No such file or directory"
    assert [*Workflow.objects.values_list("name", flat=True)] == ["good"]


def test_warnings_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "later.yaml"
    file.write_text('steps: [{id: a, action: noop}]\ntriggers: [{schedule: {cron: "0 8 * * *"}}]\n')
    call_command("load_workflow", str(file))
    expected = "later version 1 created; triggers is stored; this version does not perform it yet\n"
    assert capsys.readouterr().out == expected


def test_a_workflow_is_exported_as_yaml_of_the_same_content(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("load_workflow", *EXAMPLES)
    capsys.readouterr()
    call_command("export_workflow", "order-intake")
    current = Workflow.objects.get(name="order-intake").current
    assert current is not None
    assert read(capsys.readouterr().out).definition.hash() == current.hash


def test_names_that_do_not_exist_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    refused("export_workflow", "nothing")
    refused("load_workflow", EXAMPLES[0], "--workspace", "nowhere")
    refused("create_token", "ci", "--user", "nobody")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "there is no workflow 'nothing' with a published version" in lines[0]


def test_a_token_is_made_and_printed_once(
    workspace: Workspace, owner: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("create_token", "ci")
    token = tokens.find(capsys.readouterr().out.strip())
    assert token is not None
    assert (token.workspace, token.user, token.name) == (workspace, owner, "ci")


def test_limit_workspace_sets_what_is_given_and_prints_both(capsys: pytest.CaptureFixture[str]) -> None:
    Workspace.objects.get_or_create(name="default")
    call_command("limit_workspace", "--concurrent-runs", "20")
    call_command("limit_workspace", "--runs-per-minute", "600")
    assert capsys.readouterr().out.splitlines()[2:] == [
        "default  concurrent runs  20",
        "default  runs per minute  600",
    ]
    call_command("limit_workspace", "--concurrent-runs", "none")
    mine = Workspace.objects.get(name="default")
    assert (mine.concurrent_runs, mine.runs_per_minute) == (None, 600)
    for wrong in ("0", "-1", "many"):
        with pytest.raises(SystemExit):
            call_command("limit_workspace", f"--runs-per-minute={wrong}")


def test_a_token_gets_the_scopes_and_the_end_that_are_asked_for(
    workspace: Workspace, owner: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("create_token", "prometheus", "--scope", "read", "--scope", "start", "--days", "30")
    call_command("create_token", "for ever", "--never-ends")
    first, second = ApiToken.objects.order_by("pk")
    assert first.scopes == ["read", "start"]
    assert first.expires_at is not None
    assert timedelta(days=29) < first.expires_at - timezone.now() <= timedelta(days=30)
    assert second.expires_at is None
    capsys.readouterr()


@pytest.mark.parametrize("days", ["0", "-1", "36501", "99999999999999999999"])
def test_a_token_s_days_are_bounded(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused("create_token", "ci", "--days", days)
    assert "--days: must be 1 to 36500" in capsys.readouterr().err
    assert not ApiToken.objects.exists()


def test_what_yaml_may_read_otherwise_is_told_when_a_file_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text("steps:\n  - {id: a, action: notify, with: {channel: a, text: +49}}\n")
    call_command("load_workflow", str(file))
    assert capsys.readouterr().out == (
        "shop version 1 created; steps[0].with.text (line 2) is read as the number 49, not as the text '+49'; "
        "quote it to keep that\n"
    )
