"""manage.py cancel_run, retry_run, replay_run and dead_letters."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from django.core.management import call_command

from runs.models import DeadLetter, Intervention, Run
from tests.engine import drain
from tests.flows import begun, published, the_run

pytestmark = pytest.mark.django_db(transaction=True)

FAILS = """
name: fails
inputs: {type: object}
steps:
  - {id: a, action: default}
  - {id: b, action: transform, with: {select: [email]}}
"""
NOBODY = "0197f000-0000-7000-8000-000000000000"
Captured = pytest.CaptureFixture[str]


def failed() -> UUID:
    [run_id] = begun(published(FAILS), {"mail": "a@b.c"})
    drain()
    return run_id


def queued() -> UUID:
    [run_id] = begun(published(FAILS), {"email": "a@b.c"})
    return run_id


def status_of(*command: str) -> int:
    with pytest.raises(SystemExit) as left:
        call_command(*command)
    assert isinstance(left.value.code, int)
    return left.value.code


def test_cancel_run_tells_what_it_cancelled_and_how_the_others_stand(capsys: Captured) -> None:
    bad, live = failed(), queued()
    capsys.readouterr()
    call_command("cancel_run", str(live), str(bad), NOBODY, "--why", "wrong customer")
    told = capsys.readouterr()
    assert told.out.splitlines() == [f"{live}  cancelled"]
    assert [line.split("  ")[0] for line in told.err.splitlines()] == [str(bad), NOBODY]
    assert "is failed" in told.err
    assert the_run(live).state == "cancelled"
    one = Intervention.objects.get()
    assert (one.verb, one.by, one.why) == ("cancel", None, "wrong customer")


@pytest.mark.parametrize("command", ["cancel_run", "retry_run"])
def test_a_command_that_wins_nothing_ends_with_status_one_and_the_state(command: str, capsys: Captured) -> None:
    run_id = queued()
    drain()
    capsys.readouterr()
    assert status_of(command, str(run_id), "--why", "x") == 1
    assert "succeeded" in capsys.readouterr().err
    assert status_of(command, NOBODY, "--why", "x") == 1
    assert not Intervention.objects.exists()


def test_retry_run_takes_another_input_for_a_failed_step() -> None:
    run_id = failed()
    call_command("retry_run", str(run_id), "--step-input", 'b={"email": "a=b"}', "--why", "typo")
    drain()
    assert (the_run(run_id).state, the_run(run_id).output) == ("succeeded", {"email": "a=b"})


def test_retry_run_refuses_an_input_for_a_step_that_did_not_fail(capsys: Captured) -> None:
    run_id = failed()
    assert status_of("retry_run", str(run_id), "--step-input", "a={}", "--why", "typo") == 1
    assert "'a' did not fail" in capsys.readouterr().err
    assert the_run(run_id).state == "failed"


def test_replay_run_prints_the_new_run(capsys: Captured) -> None:
    run_id = failed()
    capsys.readouterr()
    call_command("replay_run", str(run_id), "--step", "b", "--input", '{"email": "e"}', "--why", "corrected")
    new = UUID(capsys.readouterr().out.strip())
    drain()
    assert (the_run(new).state, the_run(new).replay_of_id) == ("succeeded", run_id)


def test_replay_run_with_the_latest_version(capsys: Captured) -> None:
    run_id = failed()
    published(FAILS.replace("select: [email]", "select: [mail]"))
    capsys.readouterr()
    call_command("replay_run", str(run_id), "--latest", "--why", "mended")
    new = UUID(capsys.readouterr().out.strip())
    drain()
    assert the_run(new).state == "succeeded"


def test_replay_run_that_is_not_legal_ends_with_status_one(capsys: Captured) -> None:
    live = queued()
    assert status_of("replay_run", str(live), "--why", "x") == 1
    assert "running" in capsys.readouterr().err
    assert status_of("replay_run", str(failed()), "--step", "nope", "--why", "x") == 1
    assert "no step 'nope'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cancel_run", "no-id", "--why", "x"], "no-id"),
        (["cancel_run", NOBODY, "--why", "  "], "--why"),
        (["cancel_run", NOBODY, "--why", "a\x1b[2J"], "--why"),
        (["retry_run", NOBODY, "--step-input", "b", "--why", "x"], "STEP=JSON"),
        (["retry_run", NOBODY, "--step-input", "b={", "--why", "x"], "--step-input b"),
        (["replay_run", NOBODY, "--input", "@/nowhere.json", "--why", "x"], "/nowhere.json"),
        (["replay_run", NOBODY, "--why", "x"], "no run"),
        (["dead_letters", "--workflow", "fials"], "fails"),
        (["dead_letters", "--limit", "0"], "--limit"),
    ],
)
def test_bad_input_ends_with_status_two_and_one_line(arguments: list[str], said: str, capsys: Captured) -> None:
    published(FAILS)
    assert status_of(*arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not Run.objects.exists()


def test_dead_letters_lists_the_open_ones(capsys: Captured) -> None:
    run_id = failed()
    dead_letter = DeadLetter.objects.get()
    capsys.readouterr()
    call_command("dead_letters", "--workflow", "fails")
    [headings, line] = capsys.readouterr().out.splitlines()
    assert headings.split()[:5] == ["ID", "RUN", "WORKFLOW", "STEP", "STATE"]
    assert line.split()[:5] == [str(dead_letter.pk), str(run_id), "fails", "b", "open"]
    assert "email" in line
    call_command("dead_letters", "--state", "retried")
    assert capsys.readouterr().out == "no dead letters\n"
    call_command("dead_letters", "--json")
    [told] = json.loads(capsys.readouterr().out)
    assert (told["id"], told["input"]) == (str(dead_letter.pk), {"mail": "a@b.c"})


def test_show_run_tells_what_was_done_by_hand(capsys: Captured) -> None:
    run_id = queued()
    call_command("cancel_run", str(run_id), "--why", "wrong customer")
    capsys.readouterr()
    call_command("show_run", str(run_id))
    assert "cancel by a command at" in capsys.readouterr().out


def letter_of(run_id: UUID) -> UUID:
    return DeadLetter.objects.get(run_id=run_id, state="open").pk


def test_dead_letters_are_retried_and_discarded_by_their_ids(capsys: Captured) -> None:
    mended, given_up = failed(), failed()
    first, second = letter_of(mended), letter_of(given_up)
    call_command("retry_dead_letter", str(first), "--input", '{"email": "a"}', "--why", "typo")
    call_command("discard_dead_letter", str(second), NOBODY, "--why", "a test order")
    told = capsys.readouterr()
    assert [f"{first}  retried", f"{second}  discarded"] == [line for line in told.out.splitlines() if "  " in line]
    assert told.err.splitlines() == [f"{NOBODY}  there is no such dead letter"]
    drain()
    assert (the_run(mended).output, the_run(given_up).state) == ({"email": "a"}, "failed")
    assert status_of("retry_dead_letter", str(second), "--why", "x") == 1
    assert status_of("discard_dead_letter", str(first), "--why", "x") == 1
    said = capsys.readouterr().err
    assert "the dead letter is discarded; only an open one can be retried" in said
    assert "the dead letter is retried; only an open one can be discarded" in said
    assert status_of("discard_dead_letter", "x", "--why", "x") == 2
    assert "is no dead letter id" in capsys.readouterr().err
