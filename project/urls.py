"""All URLs of the project. Only the admin's end in a slash."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView

from project.health import health
from runs.api.resources.metrics import Metrics
from runs.pages import approval

# Called here and not when Django is set up, because workers and beat have no pages and should not spend memory on them.
admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("health", health, name="health"),
    path("metrics", Metrics.as_view(), name="metrics"),
    path("approve/<str:token>", approval.decide, name="approval-link"),
    path("admin/", admin.site.urls),
    path("api/v1/schema", SpectacularJSONAPIView.as_view(), name="schema"),
    path("api/v1/", include("runs.api.urls")),
]

# These answer with problem details (RFC 9457) below /api/, and with HTML pages elsewhere.
handler400 = "runs.api.http.problems.bad_request"
handler404 = "runs.api.http.problems.not_found"
handler500 = "runs.api.http.problems.server_error"
