"""The actions that touch nothing outside, each by what it answers."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from actions import registry
from actions.base import Json, Park, Permanent, Retryable
from tests.actions.contexts import NOW, context, perform

USER: Json = {"email": "u@e", "age": 20, "address": {"city": "Ulm"}}


@pytest.mark.parametrize(
    ("config", "given", "output"),
    [
        ({"select": ["email"]}, USER, {"email": "u@e"}),
        ({"select": ["address.city", "age"]}, USER, {"city": "Ulm", "age": 20}),
        ({"select": {"town": "address.city"}}, USER, {"town": "Ulm"}),
        ({"select": ["a.b"]}, {"a.b": 1}, {"b": 1}),
        ({"select": ["0"]}, [["x"], ["y"]], [{"0": "x"}, {"0": "y"}]),
        ({"set": {"a": 1}}, USER, {"a": 1}),
        ({"rename": {"email": "mail"}, "select": ["email"]}, USER, {"mail": "u@e"}),
        ({"map": {"next": "age + 1", "mail": "{{ item.email }}"}}, USER, {"next": 21, "mail": "u@e"}),
        ({"map": {"n": "item * 2"}}, [1, 2], [{"n": 2}, {"n": 4}]),
        (
            {"map": {"n": "a", "k": 7}, "set": {"b": 0}},
            [{"a": 1}, {"a": 2}],
            [{"n": 1, "k": 7, "b": 0}, {"n": 2, "k": 7, "b": 0}],
        ),
        ({"select": ["a"], "set": {"b": 2}}, {"a": 1, "c": 3}, {"a": 1, "b": 2}),
    ],
)
def test_transform_gives(config: dict[str, Any], given: Json, output: Json) -> None:
    assert perform("transform", config, given) == output


def test_transform_looks_in_its_own_input_first_and_then_in_the_runs() -> None:
    given: Json = {"age": 3}
    names: dict[str, Json] = {"input": {"age": 4, "email": "run@e"}}
    action = registry.get("transform")
    config = action.config_class.model_validate({"select": ["age", "email"]})
    from dataclasses import replace

    assert action.perform(config, replace(context(given), names=names)) == {"age": 3, "email": "run@e"}


@pytest.mark.parametrize(
    ("config", "given", "said"),
    [
        ({"select": ["name"]}, USER, "select: 'name' is missing: input has the keys email, age, address"),
        ({"select": ["address.zip"]}, USER, "'address.zip' is missing: input.address has the keys city"),
        ({"select": ["a"]}, [{"a": 1}, {}], "input[1] is an empty object"),
        ({"select": ["a"]}, None, "input is no object"),
        ({"rename": {"name": "n"}}, USER, "rename: 'name' is missing"),
        ({"map": {"n": "item.nope"}}, USER, "needs item.nope"),
    ],
)
def test_transform_that_misses_something_fails_for_good(config: dict[str, Any], given: Json, said: str) -> None:
    with pytest.raises(Permanent) as failure:
        perform("transform", config, given)
    assert said in str(failure.value)


@pytest.mark.parametrize("config", [{}, {"selct": ["a"]}, {"select": "a"}, {"set": 1}, {"select": ["a.x", "b.x"]}])
def test_transform_config_that_makes_no_sense_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        perform("transform", config)


def test_transform_payload_without_its_keys_is_what_to_set() -> None:
    transform = registry.get("transform")
    assert transform.from_payload({"source": "db"}) == {"set": {"source": "db"}}
    assert transform.data_of({"source": "db"}) == {}


@pytest.mark.parametrize(
    ("action", "given", "config", "data"),
    [
        ("compute", {"iterations": 100, "index": 7, "load_test": True}, {"iterations": 100}, ["index", "load_test"]),
        ("flaky", {"failure_rate": 0.5, "index": 1}, {"failure_rate": 0.5}, ["index"]),
        ("transform", {"select": ["a"], "x": 1}, {"select": ["a"]}, ["x"]),
        ("wait", {"for": "1s", "for_": "2s"}, {"for": "1s"}, ["for_"]),
        ("http_request", {"url": "https://a.example", "tag": "t"}, {"url": "https://a.example"}, ["tag"]),
        ("notify", {"message": "done"}, {"channel": "log", "text": "done"}, []),
        ("notify", {"channel": "ops", "text": "a", "message": "b"}, {"channel": "ops", "text": "a"}, ["message"]),
        ("notify", {}, {"channel": "log"}, []),
        ("fail", {"reason": "x"}, {}, ["reason"]),
    ],
)
def test_keys_of_a_payload_that_the_action_does_not_know_are_data(
    action: str, given: dict[str, Json], config: Json, data: list[str]
) -> None:
    found = registry.get(action)
    assert found.from_payload(given) == config
    assert [*found.data_of(given)] == data


@pytest.mark.parametrize("given", [None, 5, "text", ["iterations"]])
def test_a_payload_that_is_no_mapping_has_no_data(given: Json) -> None:
    assert registry.get("compute").from_payload(given) == given
    assert registry.get("compute").data_of(given) == {}


@pytest.mark.parametrize(
    ("asked", "result"), [("age >= 18", True), ("{{ age > 20 }}", False), (True, True), (0, False)]
)
def test_condition_answers_true_or_false(asked: Any, result: bool) -> None:
    assert perform("condition", {"expression": asked}, USER) == {"result": result}


def test_compute_gives_the_same_answer_each_time() -> None:
    first = perform("compute", {"iterations": 1000})
    assert first == perform("compute", {"iterations": 1000})
    assert isinstance(first, dict)
    assert first["iterations"] == 1000
    assert first != perform("compute", {"iterations": 1001})


@pytest.mark.parametrize(
    ("config", "moment"),
    [
        ({"seconds": 1.5}, NOW + timedelta(seconds=1.5)),
        ({"for": "2h"}, NOW + timedelta(hours=2)),
        ({"until": "2026-03-01T15:00:00+02:00"}, datetime(2026, 3, 1, 13, tzinfo=UTC)),
    ],
)
def test_wait_parks_until(config: dict[str, Any], moment: datetime) -> None:
    parked = perform("wait", config)
    assert isinstance(parked, Park)
    assert parked.wake_at == moment
    assert parked.output == {"until": moment.isoformat().replace("+00:00", "Z")}


@pytest.mark.parametrize(
    "config", [{}, {"seconds": 1, "for": "1s"}, {"seconds": -1}, {"for": "soon"}, {"until": "2026-03-01T15:00:00"}]
)
def test_wait_config_that_makes_no_sense_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        perform("wait", config)


def test_default_hands_its_input_on() -> None:
    assert perform("noop", {}, USER) == USER
    with pytest.raises(ValidationError):
        perform("default", {"x": 1})


def test_notify_writes_one_line_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="stepwise.notify")
    assert perform("notify", {"channel": "ops", "text": "a\nb"}) == {"channel": "ops", "text": "a\nb"}
    assert [record.getMessage() for record in caplog.records] == ["notify ops: a b"]


def test_fail_fails_for_good_with_its_message() -> None:
    with pytest.raises(Permanent, match="no stock"):
        perform("fail", {"message": "no stock"})


def test_flaky_fails_its_share_of_attempts_and_repeats_itself() -> None:
    def fails(attempt: int) -> bool:
        try:
            perform("flaky", {"failure_rate": 0.3}, attempt=attempt)
        except Retryable:
            return True
        return False

    first = [fails(attempt) for attempt in range(1, 1001)]
    assert 250 < sum(first) < 350
    assert first[:50] == [fails(attempt) for attempt in range(1, 51)]


def test_sleep_longer_than_the_steps_timeout_is_a_timeout() -> None:
    assert perform("sleep", {"seconds": "10ms"}) == {"seconds": 0.01}
    with pytest.raises(Retryable) as failure:
        perform("sleep", {"seconds": 60}, timeout_seconds=0.01)
    assert failure.value.kind == "timeout"
