"""manage.py run_workflow and show_run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from django.core.management import call_command
from django.db import connection

from runs.history.text import lines
from runs.history.words import duration
from runs.models import Run
from tests.engine import drain
from tests.flows import begun, published, the_run
from tests.runs.doors import newest_run

pytestmark = pytest.mark.django_db(transaction=True)

SELECT = """
name: select-email
inputs: {type: object, properties: {age: {type: integer}}}
steps:
  - {id: pick, action: transform, with: {select: [email]}}
"""


@pytest.fixture
def worker() -> Iterator[None]:
    """Something that performs runs while a command waits for one."""
    stopped = Event()

    def work() -> None:
        while not stopped.wait(0.02):
            drain()
        connection.close()

    thread = Thread(target=work)
    thread.start()
    yield
    stopped.set()
    thread.join()


def status_of(*command: str) -> int:
    with pytest.raises(SystemExit) as left:
        call_command(*command)
    assert isinstance(left.value.code, int)
    return left.value.code


def test_a_run_is_waited_for_and_its_timeline_printed(worker: None, capsys: pytest.CaptureFixture[str]) -> None:
    published(SELECT)
    call_command(
        "run_workflow",
        "select-email",
        input='{"email": "user@example.com", "age": 20}',
        label=["team=shop"],
        timeout=8.0,
    )
    out = capsys.readouterr().out.splitlines()
    assert "succeeded" in out[0]
    assert out[1].split() == ["STEP", "STATE", "TRY", "DURATION", "OUTPUT"]
    assert out[2].startswith("pick  succeeded")
    assert out[2].endswith('{"email":"user@example.com"}')
    assert newest_run().labels == {"team": "shop"}


def test_a_run_that_fails_ends_with_status_one(worker: None, capsys: pytest.CaptureFixture[str]) -> None:
    published(SELECT)
    assert status_of("run_workflow", "select-email", "--timeout", "8") == 1
    assert "email" in capsys.readouterr().out


def test_a_run_that_nobody_performs_ends_with_status_three(capsys: pytest.CaptureFixture[str]) -> None:
    published(SELECT)
    assert status_of("run_workflow", "select-email", "--timeout", "0.05") == 3
    captured = capsys.readouterr()
    assert "pending" in captured.out
    assert "show_run" in captured.err


def test_without_waiting_the_id_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    published(SELECT)
    file = tmp_path / "input.json"
    file.write_text('{"email": "e"}')
    call_command("run_workflow", "select-email", input=f"@{file}", no_wait=True, key="k")
    run = newest_run()
    assert capsys.readouterr().out.strip() == str(run.pk)
    assert (run.input, run.idempotency_key) == ({"email": "e"}, "k")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["select-emial"], "select-email"),
        (["select-email", "--input", "{"], "--input"),
        (["select-email", "--input", '{"a": NaN}'], "--input"),
        (["select-email", "--input", "@/nowhere.json"], "/nowhere.json"),
        (["select-email", "--input", '{"age": "old"}'], "age"),
        (["select-email", "--key", ""], "--key"),
        (["select-email", "--label", "team"], "--label"),
        (["select-email", "--label", "k" * 64 + "=v"], "--label"),
        (["select-email", "--label", "k=" + "v" * 256], "--label"),
        (["select-email", "--workspace", "nobody"], "nobody"),
    ],
)
def test_bad_input_ends_with_status_two_and_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    published(SELECT)
    assert status_of("run_workflow", *arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1
    assert not Run.objects.exists()


def test_show_run_tells_input_labels_and_dead_letters(capsys: pytest.CaptureFixture[str]) -> None:
    [run_id] = begun(published(SELECT), {"age": 1}, labels={"team": "shop"})
    drain()
    call_command("show_run", str(run_id))
    out = capsys.readouterr().out
    assert 'input   {"age":1}' in out
    assert '{"team":"shop"}' in out
    assert "dead letter" in out
    call_command("show_run", str(run_id), json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["id"], told["steps"][0]["state"]) == (str(run_id), "failed")
    assert told["created_at"].endswith("Z")


@pytest.mark.parametrize("key", ["nothing", "0197f000-0000-7000-8000-000000000000"])
def test_show_run_of_no_run_ends_with_status_two(key: str) -> None:
    assert status_of("show_run", key) == 2


def test_a_line_is_cut_to_the_terminal_and_holds_nothing_that_it_would_obey() -> None:
    [run_id] = begun(published(SELECT), {"email": "\x1b[2J\x9b" + "界" * 200})
    drain()
    from runs.history import timeline

    printed = lines(timeline.timeline(the_run(run_id)), width=80)
    assert all(character.isprintable() for line in printed for character in line)
    assert "\\u001b" in printed[1]
    assert printed[1].endswith("...")
    assert len(printed[1]) <= 80


def test_durations_are_told_in_the_unit_that_fits() -> None:
    from datetime import UTC, datetime, timedelta

    start = datetime(2026, 1, 1, tzinfo=UTC)
    told = [duration(start, start + timedelta(seconds=s)) for s in (0.003, 1.24, 125, 11040)]
    assert told == ["3 ms", "1.24 s", "2 min 5 s", "3 h 4 min"]
    assert duration(start, None) == "-"


def test_a_key_that_is_known_with_another_input_is_refused_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    published(SELECT)
    call_command("run_workflow", "select-email", "--no-wait", "--key", "k", "--input", '{"age": 1}')
    first = newest_run().pk
    again = ("run_workflow", "select-email", "--no-wait", "--key", "k", "--input", '{"age": 2}')
    capsys.readouterr()
    assert status_of(*again) == 2
    assert "--key: the idempotency key 'k' is known with another input" in capsys.readouterr().err
    call_command(*again, "--on-conflict", "return")
    assert capsys.readouterr().out.strip() == str(first)
    assert Run.objects.count() == 1
