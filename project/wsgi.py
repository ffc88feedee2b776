"""The WSGI application: single starts are answered in front of Django, everything else by Django."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
_django = get_wsgi_application()

# From here on Django is set up, and models can be imported.
from project import headers, logs  # noqa: E402
from project.charsets import RefuseCharsets  # noqa: E402
from runs.api.fast_start import StartSingle  # noqa: E402

logs.log_uncaught()
_headers = headers.of_every_answer()
application = RefuseCharsets(StartSingle(_django, headers=_headers), headers=_headers)
