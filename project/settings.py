"""Django settings (first cut; project/env.py takes over reading the environment)."""

import os
from pathlib import Path
from urllib.parse import unquote, urlparse, parse_qs

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ.get("SECRET_KEY", "insecure-skeleton-key-which-project-env-replaces-at-once-000000")
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "django_celery_beat",
    "workflows",
    "runs",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "project.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
_url = urlparse(os.environ.get("DATABASE_URL", "postgresql://postgres@127.0.0.1:55432/stepwise"))
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.path.lstrip("/"),
        "USER": unquote(_url.username or ""),
        "PASSWORD": unquote(_url.password or ""),
        "HOST": parse_qs(_url.query).get("host", [_url.hostname or ""])[0],
        "PORT": parse_qs(_url.query).get("port", [str(_url.port or "")])[0],
        "CONN_MAX_AGE": None,
    }
}
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:56379/0")
INSTALLATION_ID = os.environ.get("INSTALLATION_ID", "dev")
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
OUTBOUND_ALLOW: list[str] = []
DISPATCH_WINDOW_MESSAGES = 8
PURE_BATCH_RUNS = 200
EFFECTFUL_BATCH_RUNS = 20
PROCESS_LEASE_SECONDS = 20
