"""Pages as people meet them: the way in, errors, the theme, static files, and the address of the API."""

from __future__ import annotations

import gzip
import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from unfold.admin import ModelAdmin

from tests.flows import published
from tests.runs.doors import admin as logged_in

pytestmark = pytest.mark.django_db

_PASSWORD = "a-Long-enough-pass-word"


@pytest.mark.parametrize("address", ["/admin/login/", "/admin/login/?next=", "/admin/login/?next=/admin/runs/run/"])
@pytest.mark.parametrize("sent", [None, "", "https://evil.example/"])
def test_a_login_ends_on_a_page_of_the_admin(address: str, sent: str | None) -> None:
    User.objects.create_superuser("root", password=_PASSWORD)
    client = Client()
    page = client.get(address).content.decode()
    [shown] = re.findall(r'name="next" value="([^"]*)"', page)
    answer = client.post(
        address, {"username": "root", "password": _PASSWORD, "next": shown if sent is None else sent}, follow=True
    )
    assert answer.status_code == 200
    assert answer.redirect_chain[-1][0].startswith("/admin/")


@pytest.mark.parametrize("address", ["/admin", "/admin/login", "/admin/login?next=/admin/runs/run/", "/favicon.ico"])
def test_what_people_and_browsers_ask_for_by_themselves_is_there(address: str) -> None:
    assert Client().get(address, follow=True).status_code == 200


@pytest.mark.parametrize("address", ["/nowhere", "/admin/nowhere", "/approve", "/static/nowhere.css"])
def test_an_address_with_nothing_behind_it_is_answered_by_a_page_that_leads_on(address: str) -> None:
    answer = logged_in().get(address)
    page = answer.content.decode()
    assert answer.status_code == 404
    assert "Nothing is here" in page
    assert 'href="/admin/"' in page
    assert 'rel="icon"' in page


@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "500"])
def test_every_error_page_says_what_to_do_and_needs_nothing_of_the_request(code: str) -> None:
    page = render_to_string(f"{code}.html")
    assert page.count("<h1>") == 1
    assert "Stepwise" in page
    assert 'href="/admin/"' in page


def test_the_page_of_a_refusal_says_why() -> None:
    client = Client()
    client.force_login(User.objects.create(username="looks", is_staff=True))
    answer = client.get(reverse("admin:runs_run_changelist"))
    assert answer.status_code == 403
    assert "Not permitted" in answer.content.decode()


def test_every_page_of_the_admin_is_in_the_theme() -> None:
    foreign = [model.__name__ for model, page in admin.site._registry.items() if not isinstance(page, ModelAdmin)]
    assert foreign == []
    assert {User, Group, *apps.get_app_config("django_celery_beat").get_models()} - set(admin.site._registry) == {
        apps.get_model("django_celery_beat", "PeriodicTasks")
    }


def test_no_page_shows_a_python_object() -> None:
    published("name: shown\nsteps: [{id: a, action: default}]")
    client = logged_in()
    for model, page in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        answers = [client.get(reverse(f"{name}_changelist"))]
        if page.has_add_permission(answers[0].wsgi_request):
            answers.append(client.get(reverse(f"{name}_add"), follow=True))
        if (row := model._default_manager.first()) is not None:
            answers.append(client.get(reverse(f"{name}_change", args=[row.pk])))
        for answer in answers:
            assert answer.status_code == 200, name
            text = answer.content.decode()
            assert not re.findall(r"(?:&lt;|<)[\w.]+ object|Default\(|Now\(|object at 0x", text), name
            assert "/static/runs/phones.css" in text, name


def test_a_user_and_a_periodic_task_can_be_made_and_changed() -> None:
    client = logged_in()
    form = {"username": "ada", "password1": _PASSWORD, "password2": _PASSWORD, "usable_password": "true"}
    assert client.post("/admin/auth/user/add/", form).status_code == 302
    assert User.objects.get(username="ada").check_password(_PASSWORD)
    kinds = ["clockedschedule", "crontabschedule", "intervalschedule", "periodictask", "solarschedule"]
    assert {client.get(f"/admin/django_celery_beat/{kind}/add/").status_code for kind in kinds} == {200}
    empty = {f"periodictask_set-{key}": "0" for key in ("TOTAL_FORMS", "INITIAL_FORMS")}
    added = client.post("/admin/django_celery_beat/intervalschedule/add/", {"every": 5, "period": "minutes", **empty})
    assert added.status_code == 302, added.content.decode()[-3000:]


@pytest.mark.parametrize("path", ["unfold/css/styles.css", "unfold/js/app.js", "runs/runs.css", "runs/favicon.svg"])
def test_a_static_file_of_a_page_is_kept_for_a_year_and_sent_compressed(path: str) -> None:
    from django.templatetags.static import static

    address = static(path)
    assert re.search(r"\?v=[0-9a-f]{12}$", address)
    client = Client()
    plain = b"".join(client.get(address).streaming_content)  # type: ignore[attr-defined]  # the test client's stubs
    answer = client.get(address, headers={"accept-encoding": "br, gzip;q=0.8"})
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "Accept-Encoding" in answer.headers["Vary"]
    if answer.headers.get("Content-Encoding") == "gzip":
        assert gzip.decompress(answer.content) == plain
        assert int(answer.headers["Content-Length"]) == len(answer.content) < len(plain)
    else:
        assert len(plain) < 1000
    for other in (address.partition("?")[0], address.partition("?")[0] + "?v=older"):
        assert "max-age=60" in client.get(other).headers["Cache-Control"]
    assert "Content-Encoding" not in client.get(address, headers={"accept-encoding": "gzip;q=0"}).headers


def test_fonts_that_style_sheets_name_without_a_version_are_kept_for_a_month() -> None:
    page = b"".join(Client().get("/static/unfold/fonts/inter/styles.css").streaming_content).decode()  # type: ignore[attr-defined]
    names = re.findall(r"url\([\"']?([^)\"']+\.woff2)", page)
    assert names
    answer = Client().get(f"/static/unfold/fonts/inter/{names[0]}")
    assert answer.headers["Cache-Control"] == "public, max-age=2592000"


def test_a_static_file_that_did_not_change_is_not_sent_again() -> None:
    first = Client().get("/static/runs/runs.css", headers={"accept-encoding": "gzip"})
    since = {"if-modified-since": first.headers["Last-Modified"], "accept-encoding": "gzip"}
    assert Client().get("/static/runs/runs.css", headers=since).status_code == 304


def test_pages_and_answers_of_the_api_are_compressed() -> None:
    client = logged_in()
    for address in ("/admin/", "/admin/runs/run/", "/api/v1/schema", "/api/v1/"):
        answer = client.get(address, headers={"accept-encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip", address
        assert gzip.decompress(answer.content)
        assert "Content-Encoding" not in client.get(address).headers


def test_the_address_of_the_api_leads_to_its_schema_and_its_resources() -> None:
    published("name: shown\nsteps: [{id: a, action: default}]")
    client = logged_in()
    for address in ("/api/v1/", "/api/v1"):
        told = Client().get(address).json()
        assert told["schema"].endswith("/api/v1/schema")
        for link in (told["schema"], *told["resources"].values()):
            assert client.get(link.removeprefix("http://testserver")).status_code in (200, 405), link
    assert Client().post("/api/v1/", {}).status_code == 405
