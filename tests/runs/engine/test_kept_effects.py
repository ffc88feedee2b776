"""`context.once` waits for a database that refuses, and does not make its effect again meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest
from django.db import connection
from django.test import override_settings

from actions import registry
from actions.base import Action, Config, Context, Json
from runs.models import DeadLetter, Effect
from tests.engine import drain
from tests.flows import begun, published, steps, the_run
from tests.runs.locks import in_thread, other_connection
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

made: list[int] = []
ENDS_THE_CONNECTION = "PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5)"
# Read-only, undefined column and table, unknown prepared statement, a full disk, a deadlock, a server that shuts down.
PASSING = ("25006", "42703", "42P01", "26000", "53100", "40P01", "57P01")


class ChargeConfig(Config):
    cuts: bool = False


class Charge(Action[ChargeConfig]):
    """Charges once; `cuts`: the database becomes read-only with the charge."""

    name: ClassVar[str] = "test_charge"
    summary: ClassVar[str] = "Charge"
    output: ClassVar[str] = "the receipt"
    config_class: ClassVar[type[Config]] = ChargeConfig

    def perform(self, config: ChargeConfig, context: Context) -> Json:
        return context.once("charge", lambda: self._charge(config))

    def _charge(self, config: ChargeConfig) -> Json:
        made.append(1)
        if config.cuts:
            read_only("on")
        return {"receipt": len(made)}


@pytest.fixture(autouse=True)
def _charge(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry.ACTIONS, Charge.name, f"{__name__}.Charge")
    made.clear()
    yield
    read_only("off")
    connection.close()


def read_only(value: str) -> None:
    """Make new connections read-only, or not."""
    with other_connection() as other:
        other.execute("SET TRANSACTION READ WRITE")
        other.execute(f"ALTER DATABASE {other.info.dbname} SET default_transaction_read_only = {value}".encode())
        other.commit()


@contextmanager
def refusing(does: str, *, times: int) -> Iterator[None]:
    """Refuse the first rows of effects in this way."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE refusals")
        cursor.execute(
            "CREATE FUNCTION refuse_effect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF nextval('refusals') <= {times} THEN {does}; END IF; RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse_effect BEFORE INSERT ON runs_effect FOR EACH ROW EXECUTE FUNCTION refuse_effect()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse_effect CASCADE")
            cursor.execute("DROP SEQUENCE refusals")


def raising(code: str) -> str:
    return f"RAISE EXCEPTION 'refused by the test' USING ERRCODE = '{code}'"


def charged(options: str = "") -> dict[str, Json]:
    """Charge, and return what became of the step."""
    [run_id] = begun(
        published(f"name: charge\nsteps: [{{id: a, action: test_charge, retry: none, with: {{{options}}}}}]")
    )
    drain()
    row = steps(run_id)["a"]
    return {"run": the_run(run_id).state, "attempt": row.attempt, "output": row.output, "error": row.error}


GOOD = {"run": "succeeded", "attempt": 1, "output": {"receipt": 1}, "error": None}


@pytest.mark.parametrize("does", [ENDS_THE_CONNECTION, *map(raising, PASSING)])
def test_a_result_is_stored_once_the_database_takes_it_and_the_effect_is_made_once(does: str) -> None:
    with refusing(does, times=2):
        assert charged() == GOOD
    assert (len(made), Effect.objects.get().value) == (1, {"receipt": 1})
    assert not DeadLetter.objects.exists()


def test_a_database_that_turns_read_only_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    def writes_again() -> None:
        wait_for(lambda: any(one.message == "effect_refused" for one in caplog.records), what="the refusal")
        read_only("off")

    with in_thread(writes_again):
        found = charged("cuts: true")
    assert found == GOOD
    assert (len(made), Effect.objects.get().value) == (1, {"receipt": 1})


def test_a_result_that_postgresql_cannot_store_fails_the_step_and_says_so() -> None:
    with refusing(raising("22P05"), times=99):
        found = charged()
    assert (found["run"], len(made)) == ("failed", 1)
    assert "effect 'charge' was made, but its result is not stored" in str(found["error"])
    assert DeadLetter.objects.get().reason == "failed"


def test_a_database_that_refuses_for_longer_fails_the_attempt_and_says_that_the_effect_was_made() -> None:
    with refusing(raising("42703"), times=99), override_settings(PROCESS_LEASE_SECONDS=1):
        found = charged()
    assert (found["run"], len(made)) == ("failed", 1)
    assert "effect 'charge' was made, but its result is not stored: a later attempt repeats it" in str(found["error"])
