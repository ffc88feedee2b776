"""`/health` tells a load balancer whether this process can work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from django.db import connection
from django.test import Client
from pytest_django import Settings

from project.stack import ports, valkey
from project.stack.children import Child
from tests.waiting import wait_for


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[redis.Redis]:
    """A client of a Valkey of the test's own."""
    server = valkey.prepare(tmp_path / "valkey", port=ports.free())
    child = Child(server.command(log=tmp_path / "valkey.log", settings=valkey.FORGETTING))
    wait_for(server.answers, what="the Valkey")
    with redis.Redis.from_url(server.url) as client:
        yield client
    child.process.kill()
    child.process.wait(60)


@pytest.mark.django_db
def test_health_is_ok_while_database_and_broker_answer(client: Client) -> None:
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "database": "ok", "broker": "ok"})


@pytest.mark.django_db
def test_health_names_the_broker_that_is_away(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["broker"]) == (503, "away")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "refuse",
    [
        lambda broker: broker.replicaof(ports.HOST, ports.free()),
        lambda broker: broker.config_set("maxmemory", "1"),
        lambda broker: broker.config_set("min-replicas-to-write", "1"),
    ],
    ids=["demoted to a replica", "out of memory", "without its replicas"],
)
def test_health_says_that_the_broker_refuses_writes_while_it_answers_pings(
    client: Client, settings: Settings, broker: redis.Redis, refuse: Callable[[redis.Redis], object]
) -> None:
    words = broker.connection_pool.connection_kwargs
    settings.REDIS_URL = f"redis://{words['host']}:{words['port']}/0"
    assert client.get("/health").status_code == 200
    refuse(broker)
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"status": "refuses", "database": "ok", "broker": "refuses"})
    broker.replicaof("NO", "ONE")
    broker.config_set("maxmemory", "0")
    broker.config_set("min-replicas-to-write", "0")
    assert client.get("/health").status_code == 200


@pytest.mark.django_db
def test_health_says_that_the_database_is_read_only(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION READ ONLY")
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (503, {"status": "refuses", "database": "refuses", "broker": "ok"})


@pytest.mark.django_db
def test_root_leads_to_the_admin(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/admin/"
