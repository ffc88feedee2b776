"""All URLs of the project. Only the admin's end in a slash."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView

from project.health import health
from runs.api.resources.index import Index
from runs.api.resources.metrics import Metrics
from runs.pages import approval

# Called here and not when Django is set up, because workers and beat have no pages and should not spend memory on them.
admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    # What people type without its slash, and what browsers ask for by themselves.
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/login", RedirectView.as_view(url="/admin/login/", query_string=True)),
    path("favicon.ico", RedirectView.as_view(url="/static/runs/favicon.svg")),
    path("health", health, name="health"),
    path("metrics", Metrics.as_view(), name="metrics"),
    path("approve/<str:token>", approval.decide, name="approval-link"),
    path("admin/", admin.site.urls),
    path("api/v1", Index.as_view(), name="api-index-without-slash"),
    path("api/v1/schema", SpectacularJSONAPIView.as_view(), name="schema"),
    path("api/v1/", include("runs.api.urls")),
]

# These answer with problem details (RFC 9457) below /api/, and with HTML pages elsewhere.
handler400 = "runs.api.http.problems.bad_request"
handler404 = "runs.api.http.problems.not_found"
handler500 = "runs.api.http.problems.server_error"
