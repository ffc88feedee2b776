"""Machines are told apart although their names, and the numbers of their pid namespaces, are the same."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest
from django.db.models import F
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from runs.engine import lease
from runs.maintenance import sweep
from runs.models import Process

pytestmark = pytest.mark.django_db(transaction=True)

_BOOTS = ("0c8a9cbb-4f0c-4bd5-8d4b-4b1f8a6f0001", "0c8a9cbb-4f0c-4bd5-8d4b-4b1f8a6f0002")


def _machine(directory: Path, *, boot: str | None, namespace: str | None = "pid:[4026531836]") -> str:
    """What `host` returns on a machine of this name, whose /proc says this."""
    (directory / "self/ns").mkdir(parents=True)
    if namespace is not None:
        (directory / "self/ns/pid").symlink_to(namespace)
    if boot is not None:
        (directory / "sys/kernel/random").mkdir(parents=True)
        (directory / "sys/kernel/random/boot_id").write_text(f"{boot}\n", encoding="ascii")
    return lease.host(directory)


def test_machines_of_one_name_are_told_apart_by_their_boot(tmp_path: Path) -> None:
    one, other = (_machine(tmp_path / boot, boot=boot) for boot in _BOOTS)
    assert one != other


def test_containers_of_one_machine_are_told_apart_by_their_pid_namespace(tmp_path: Path) -> None:
    names = ("pid:[4026531836]", "pid:[4026531837]")
    one, other = (_machine(tmp_path / name, boot=_BOOTS[0], namespace=name) for name in names)
    assert one != other


def test_a_system_that_says_neither_has_its_name(tmp_path: Path) -> None:
    found = _machine(tmp_path / "x", boot=None, namespace=None)
    assert found == lease.host(tmp_path / "nothing")
    assert found


def test_processes_of_another_machine_are_not_taken_for_dead(tmp_path: Path) -> None:
    """Its pid is no process here; its lease lives, and the sweep of this machine leaves it alone."""
    lease.beat(process := uuid7())
    Process.objects.filter(id=process).update(host=_machine(tmp_path / "x", boot=_BOOTS[0]), pid=2**22 - 3)
    sweep.sweep()
    assert Process.objects.filter(id=process, expires_at__gt=Now()).exists()


def test_a_dead_process_of_this_machine_is_noticed(tmp_path: Path) -> None:
    lease.beat(process := uuid7())
    Process.objects.filter(id=process).update(pid=2**22 - 3)
    sweep.sweep()
    assert not Process.objects.filter(id=process, expires_at__gt=Now()).exists()


def test_leases_that_end_again_and_again_sound_the_alarm(caplog: pytest.LogCaptureFixture) -> None:
    lease.give_up()
    lease._lost_at.clear()
    for number in range(1, 4):
        process = lease.current()
        Process.objects.filter(id=process).update(expires_at=F("expires_at") - timedelta(minutes=10))
        lease._lease.passes_at = 0.0
        lease.current()
        alarms = [one for one in caplog.records if one.message == "leases_lost_repeatedly"]
        assert len(alarms) == (number == 3)
    assert alarms[0].levelno == logging.ERROR
    lease.give_up()
