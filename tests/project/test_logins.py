"""Failed logins are bounded by name and address, and by address; no name is locked from everywhere."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings

from project import logins
from project.management.commands import bootstrap

GOOD = "a-password-for-tests"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick(settings: Settings, db: None) -> None:
    """An admin and a user. Hashes are cheap here: the throttle is what is tried."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    User.objects.create_superuser("admin", password=GOOD)
    User.objects.create_user("staff", password=GOOD, is_staff=True)


def login(
    name: str = "admin", password: str = "wrong", *, address: str = "192.0.2.1", agent: str = "", forwarded: str = ""
) -> int:
    """The status of a login: 200 for a form that is shown again, 302 for a login, 429 for a lock."""
    headers = {"User-Agent": agent, **({"X-Forwarded-For": forwarded} if forwarded else {})}
    form = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address, headers=headers).post("/admin/login/", form).status_code


def codes(count: int, **how: str) -> list[int]:
    return [login(**how) for _ in range(count)]


def test_the_tenth_failure_of_a_name_from_an_address_locks_both_together() -> None:
    assert codes(9) == [200] * 9
    assert codes(3) == [429] * 3
    assert login(password=GOOD) == 429
    # The same name from elsewhere, and another name from there, are not locked.
    assert login(password=GOOD, address="192.0.2.2") == 302
    assert login("staff", GOOD) == 302


def test_a_locked_login_is_told_the_bound_and_what_to_do() -> None:
    codes(10)
    answer = Client(REMOTE_ADDR="192.0.2.1").post("/admin/login/", {"username": "admin", "password": GOOD})
    text = answer.content.decode()
    assert all(word in text for word in ("at most 10 for one name", "100 for all names", "15 minutes", "axes_reset"))
    assert (answer.headers["Retry-After"], answer.headers["Cache-Control"]) == ("900", "no-store")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "runs/page.css" in text


def test_a_name_that_does_not_exist_is_locked_like_one_that_does() -> None:
    assert codes(11, name="nobody") == [200] * 9 + [429] * 2


def test_nobody_locks_the_admin_out_from_everywhere() -> None:
    for place in range(4):
        assert codes(11, address=f"198.51.100.{place}")[-1] == 429
    assert login(password=GOOD, address="192.0.2.1") == 302


@pytest.mark.parametrize("agent", ["", "a", "curl/8", "x" * 4000, "\xff"])
def test_another_browser_is_no_way_around(agent: str) -> None:
    codes(9)
    assert login(agent=agent) == 429


def test_many_names_from_one_address_lock_the_address(settings: Settings) -> None:
    settings.LOGIN_ADDRESS_FAILURES = 20
    assert [login(f"user {n}") for n in range(20)] == [200] * 20
    assert login(password=GOOD) == 429
    assert login(password=GOOD, address="192.0.2.2") == 302


def test_a_login_of_one_s_own_does_not_clear_what_one_guessed(settings: Settings) -> None:
    settings.LOGIN_ADDRESS_FAILURES = 20
    for _ in range(3):
        codes(3)
        assert login("staff", GOOD) == 302
    assert login() == 429
    assert login("other") == 200
    codes(20, name="other")
    assert login("staff", GOOD) == 429


def test_a_login_clears_the_failures_of_its_name_there() -> None:
    for _ in range(3):
        assert codes(9) == [200] * 9
        assert login(password=GOOD) == 302


def test_a_lock_ends_when_nobody_failed_for_a_while_and_trying_on_does_not_prolong_it() -> None:
    codes(10)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=14))
    assert login(password=GOOD) == 429
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    assert login(password=GOOD) == 302


def test_an_operator_lifts_locks_on_the_server() -> None:
    codes(10)
    call_command("axes_reset", stdout=io.StringIO())
    assert login(password=GOOD) == 302


def test_what_is_kept_of_failed_logins_is_small_and_has_no_password() -> None:
    for n in range(5):
        Client(REMOTE_ADDR="192.0.2.1").post(
            f"/admin/login/?next={'n' * 5000}", {"username": "admin", "password": "secret-" * 9, "more": "x" * 100_000}
        )
        login("\x00admin" + "y" * n)
    kept = [str(value) for row in AccessAttempt.objects.values() for value in row.values()]
    assert kept
    assert sum(map(len, kept)) < 20_000
    assert "secret-" not in "".join(kept)


def test_a_flood_of_names_keeps_no_more_rows_than_the_bound_of_the_address(settings: Settings) -> None:
    settings.LOGIN_ADDRESS_FAILURES = 20
    answers = [login(f"user {n}") for n in range(40)]
    assert answers == [200] * 20 + [429] * 20
    assert AccessAttempt.objects.count() == 20


@pytest.mark.parametrize(
    ("proxies", "forwarded", "expected"),
    [
        # Nobody is believed unless the setting says so.
        (0, "", "192.0.2.1"),
        (0, "203.0.113.9", "192.0.2.1"),
        # One proxy: the last entry is what it saw; the others are the client's own words.
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        (1, "1.1.1.1,2.2.2.2,203.0.113.9:4711", "203.0.113.9"),
        (1, "evil, 203.0.113.9 ", "203.0.113.9"),
        (2, "1.1.1.1, 203.0.113.9, 198.51.100.1", "203.0.113.9"),
        (2, "203.0.113.9, 198.51.100.1", "203.0.113.9"),
        # Too few, or no address: the connection's.
        (2, "203.0.113.9", "192.0.2.1"),
        (1, "", "192.0.2.1"),
        (1, "unknown", "192.0.2.1"),
        (1, "203.0.113.9,", "192.0.2.1"),
        (1, "203.0.113.999", "192.0.2.1"),
        (1, "x" * 100_000, "192.0.2.1"),
        (1, "," * 50_000, "192.0.2.1"),
        (1, "[" * 1000, "192.0.2.1"),
        (1, "١٢٣.0.113.9", "192.0.2.1"),
        # IPv6: the network of 64 bits, which is one customer.
        (1, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        (1, "[2001:db8:1:2::9]:443", "2001:db8:1:2::"),
        (1, "2001:db8:1:2::1%eth0", "2001:db8:1:2::"),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
        (1, "::1", "::"),
    ],
)
def test_the_address_is_the_connection_s_unless_a_proxy_is_trusted(
    proxies: int, forwarded: str, expected: str, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = proxies
    more = {"HTTP_X_FORWARDED_FOR": forwarded} if forwarded else {}
    assert logins.address_of(RequestFactory().get("/", REMOTE_ADDR="192.0.2.1", **more)) == expected  # type: ignore[arg-type]  # WSGI values


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", None),
        ("unix:", None),
        ("192.0.2.1:80", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_a_connection_s_address_is_brought_into_one_form(given: str, expected: str | None) -> None:
    assert logins.address_of(RequestFactory().get("/", REMOTE_ADDR=given)) == expected


def test_a_forged_header_is_no_way_around_the_lock_and_locks_nobody_else() -> None:
    found = [login(forwarded=f"203.0.113.{n}") for n in range(12)]
    assert found == [200] * 9 + [429] * 3
    assert login(password=GOOD, address="203.0.113.1") == 302


def test_behind_a_proxy_clients_are_told_apart_by_what_it_saw(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 1
    assert [login(forwarded=f"1.1.1.{n}, 203.0.113.9") for n in range(12)] == [200] * 9 + [429] * 3
    assert login(password=GOOD, forwarded="198.51.100.7") == 302


def test_addresses_of_one_ipv6_network_count_together() -> None:
    assert [login(address=f"2001:db8:1:2::{n:x}") for n in range(11)] == [200] * 9 + [429] * 2
    assert login(password=GOOD, address="2001:db8:1:3::1") == 302


def test_logins_over_a_unix_socket_count_together() -> None:
    assert codes(11, address="") == [200] * 9 + [429] * 2


def test_a_login_lasts_for_twelve_hours_however_busy_its_session_is() -> None:
    client = Client()
    client.post("/admin/login/", {"username": "admin", "password": GOOD})
    before = Session.objects.get().expire_date
    assert timedelta(hours=11) < before - timezone.now() <= timedelta(hours=12)
    assert client.get("/admin/").status_code == 200
    assert Session.objects.get().expire_date == before
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert client.get("/admin/").status_code == 302


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short-11-ch", "at least 12 characters"),
        ("123456789012", "entirely numeric"),
        ("administrator", "too common"),
        ("stepwise-root", "too similar"),
    ],
)
def test_a_weak_password_makes_no_admin(password: str, reason: str) -> None:
    with pytest.raises(CommandError, match=f"STEPWISE_ADMIN_PASSWORD: .*{reason}"):
        bootstrap.create_admin("stepwise-roo", password=password)
    assert not User.objects.filter(username="stepwise-roo").exists()


def test_a_good_password_makes_the_admin() -> None:
    assert bootstrap.create_admin("root", password="kettle-drum-0417").is_superuser
