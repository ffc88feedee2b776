"""The web server's entry."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
_django = get_wsgi_application()

# Models can be imported from here on.
from project import headers  # noqa: E402
from runs.api.fast_start import StartSingle  # noqa: E402

application = StartSingle(_django, headers=headers.of_every_answer())
