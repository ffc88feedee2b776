"""Every URL of the project. None but the admin's ends in a slash."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularJSONAPIView

from project.health import health
from runs.api.resources.metrics import Metrics
from runs.pages import approval

# Here and not when Django is set up: workers and beat have no pages, and do without their memory.
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

# Below /api/ errors are problem details, elsewhere pages.
handler400 = "runs.api.http.problems.bad_request"
handler404 = "runs.api.http.problems.not_found"
handler500 = "runs.api.http.problems.server_error"
