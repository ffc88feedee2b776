"""All settings, each read once through project.env. project.checks checks the settings that depend on each other."""

import os
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from project import dburl, env, logs
from project.env import env_bool, env_choice, env_int, env_list, env_str

BASE_DIR = env.BASE_DIR
STEPWISE_HOME = env.home()

try:
    # `make up` writes these four to credentials.env. A secret has no default.
    SECRET_KEY = env_str("SECRET_KEY")
    DATABASE_URL = env_str("DATABASE_URL")
    # redis://host:port/0; the broker of Celery and nothing else.
    REDIS_URL = env_str("REDIS_URL")
    # Prefix of every key in the broker, so that two installations can share one.
    INSTALLATION_ID = env_str("INSTALLATION_ID", default="stepwise")
    _database = dburl.parse(DATABASE_URL)

    DEBUG = env_bool("DEBUG", default=False)
    # The site is reached by https only: sets secure cookies, redirects from http, and HSTS.
    STEPWISE_HTTPS = env_bool("STEPWISE_HTTPS", default=False)
    STEPWISE_ENVIRONMENT = env_str("STEPWISE_ENVIRONMENT", default="development")
    ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", default=("localhost", "127.0.0.1", "[::1]"))
    CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
    LOG_FORMAT = env_choice("LOG_FORMAT", default="text", choices=("text", "json"))
    LOG_LEVEL = env_choice("LOG_LEVEL", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))

    # Worker children; each performs one slice of runs at a time.
    WORKERS = env_int("WORKERS", default=2, minimum=1, maximum=256)
    # A child whose memory has ever been larger is replaced after its message, so that leaks do not accumulate.
    WORKER_CHILD_MEMORY_MEGABYTES = env_int("WORKER_CHILD_MEMORY_MEGABYTES", default=1024, minimum=300)
    # The longest timeout of one attempt at a step, which occupies a worker; a longer one is refused at publish. What
    # only computes (a pure step) occupies its worker child alone, so its bound is lower. Waits are rows: no bound.
    STEP_MAX_SECONDS = env_int("STEP_MAX_SECONDS", default=3600, minimum=1, maximum=7 * 86400)
    PURE_STEP_MAX_SECONDS = env_int("PURE_STEP_MAX_SECONDS", default=60, minimum=1, maximum=3600)
    # The longest step timeout that the broker is prepared for: its visibility timeout is twice this, at least 600 s. A
    # message without a hard time limit of its own gets this plus 30 s. No step is limited by it: see docs/operating.md
    # for steps with a longer timeout.
    STEP_TIMEOUT_SECONDS = env_int("STEP_TIMEOUT_SECONDS", default=300, minimum=1)
    # If a process has not renewed its lease for this long, the steps that it was performing count as lost.
    PROCESS_LEASE_SECONDS = env_int("PROCESS_LEASE_SECONDS", default=20, minimum=2)
    # How many knocks (messages) may be in the broker at once; the backlog itself stays in PostgreSQL.
    DISPATCH_WINDOW_MESSAGES = env_int("DISPATCH_WINDOW_MESSAGES", default=4 * WORKERS, minimum=1)
    # The most runs in one knock: PURE_BATCH_RUNS for links of pure steps, EFFECTFUL_BATCH_RUNS (below) for effectful
    # steps. A message cannot hold more than 400 (MAX_KEYS in runs/dispatch/compiler.py).
    PURE_BATCH_RUNS = env_int("PURE_BATCH_RUNS", default=400, minimum=1, maximum=400)
    # Few tickets at each of several steps of a version share a message. False while workers run that do not know such
    # messages, as in a rolling upgrade: they ignore them, and the tickets wait ten seconds for the next message.
    MIXED_MESSAGES = env_bool("MIXED_MESSAGES", default=True)
    # Preload: if a new run's input is at most this long, its first knock carries it, so that the worker need not load
    # it. With 0, no input is ever stored in the broker.
    KNOCK_INPUT_BYTES = env_int("KNOCK_INPUT_BYTES", default=2000, minimum=0, maximum=2048)
    # How many effectful steps each worker child performs at the same time, each in a thread of its own.
    IO_THREADS = env_int("IO_THREADS", default=50, minimum=1, maximum=1000)
    # A delivery waits this long for the steps that it performs. One that takes longer is left behind: the delivery goes
    # on without it, and it takes none of the IO_THREADS places any more, as long as there are at most SLOW_STEPS such.
    QUICK_STEP_MILLISECONDS = env_int("QUICK_STEP_MILLISECONDS", default=50, minimum=1, maximum=5000)
    SLOW_STEPS = env_int("SLOW_STEPS", default=200, minimum=0, maximum=10_000)
    EFFECTFUL_BATCH_RUNS = env_int("EFFECTFUL_BATCH_RUNS", default=min(400, 2 * IO_THREADS), minimum=1, maximum=400)
    # The backstop behind the charge of expressions: the most address space of a worker child, by a soft limit of the
    # kernel; 0 for none. A child that meets it ends. Every thread reserves 8 MB of it for its stack, and the first ones
    # (8 for each processor) 64 MB for what they allocate, though they use little.
    WORKER_CHILD_ADDRESS_SPACE_MEGABYTES = env_int(
        "WORKER_CHILD_ADDRESS_SPACE_MEGABYTES",
        default=4 * WORKER_CHILD_MEMORY_MEGABYTES
        + 8 * (IO_THREADS + SLOW_STEPS)
        + 64 * min(IO_THREADS + SLOW_STEPS, 8 * (os.cpu_count() or 1)),
        minimum=0,
    )
    # The limit on concurrent runs that the admin offers for a new workspace; 0: none.
    DEFAULT_CONCURRENT_RUNS = env_int("DEFAULT_CONCURRENT_RUNS", default=1000, minimum=0, maximum=1_000_000)
    # How deep sub-workflows may be nested; it stops a workflow that starts itself without end.
    SUB_WORKFLOW_DEPTH = env_int("SUB_WORKFLOW_DEPTH", default=10, minimum=1, maximum=1000)
    # Limits of one bulk start, measured after decompression. Its body is never in memory as a whole.
    BULK_START_MAX_RUNS = env_int("BULK_START_MAX_RUNS", default=100_000, minimum=1)
    BULK_START_MAX_MEGABYTES = env_int("BULK_START_MAX_MEGABYTES", default=256, minimum=1)
    # Processor time of the web process that one bulk start may take: its schema and concurrency key may be dear.
    BULK_START_CPU_SECONDS = env_int("BULK_START_CPU_SECONDS", default=60, minimum=1, maximum=3600)
    # The web server. Threads of each web process for requests whose body is there, and for bodies that are received
    # while they are read (the API's above REQUEST_BUFFER_KILOBYTES, and those in chunks). As many requests as
    # WEB_QUEUE_REQUESTS wait for each kind of thread; one more is answered 503.
    WEB_THREADS = env_int("WEB_THREADS", default=16, minimum=1, maximum=256)
    WEB_STREAM_THREADS = env_int("WEB_STREAM_THREADS", default=4, minimum=1, maximum=256)
    WEB_QUEUE_REQUESTS = env_int("WEB_QUEUE_REQUESTS", default=1000, minimum=1, maximum=100_000)
    # A body has REQUEST_BODY_SECONDS to come. A longer one than REQUEST_BUFFER_KILOBYTES may take longer, as long as it
    # comes at the minimum rate, and never pauses for REQUEST_BODY_SECONDS. Else the request is answered 408.
    REQUEST_BODY_SECONDS = env_int("REQUEST_BODY_SECONDS", default=10, minimum=1, maximum=600)
    REQUEST_BYTES_PER_SECOND = env_int("REQUEST_BYTES_PER_SECOND", default=32_768, minimum=1)
    REQUEST_BUFFER_KILOBYTES = env_int("REQUEST_BUFFER_KILOBYTES", default=64, minimum=1, maximum=10_240)
    # What the long forms that are being received in a web process may hold together; one more is answered 503.
    REQUEST_PAGES_MEGABYTES = env_int("REQUEST_PAGES_MEGABYTES", default=64, minimum=10)
    # Hosts, host:port or CIDR that http_request may reach besides public addresses.
    OUTBOUND_ALLOW = env_list("OUTBOUND_ALLOW")

    # Keys that encrypt credentials: base64 of 32 bytes each. The first one encrypts, every one decrypts. Those of the
    # file, one in each line, come behind.
    CREDENTIAL_KEYS_FILE = env_str("CREDENTIAL_KEYS_FILE", default="")
    CREDENTIAL_KEYS = [*env_list("CREDENTIAL_KEYS"), *env.lines_of(CREDENTIAL_KEYS_FILE, name="CREDENTIAL_KEYS_FILE")]

    # Late acknowledgement is correct too, but takes longer to recover from a lost worker. The tests run with both.
    CELERY_ACKS_LATE = env_bool("CELERY_ACKS_LATE", default=False)
    # When workers send Celery's events of tasks, which only Flower reads: while Flower is open, or always.
    TASK_EVENTS = env_choice("TASK_EVENTS", default="while_open", choices=("while_open", "always"))
    # 0 switches the timeout off, for migrations of big tables.
    DATABASE_STATEMENT_TIMEOUT_SECONDS = env_int("DATABASE_STATEMENT_TIMEOUT_SECONDS", default=15)
    # A login is refused when this many failed for its name from its address, or this many for any names from its
    # address, until none has failed for LOGIN_LOCK_MINUTES. See project.logins.
    LOGIN_FAILURES = env_int("LOGIN_FAILURES", default=10, minimum=1)
    LOGIN_ADDRESS_FAILURES = env_int("LOGIN_ADDRESS_FAILURES", default=100, minimum=1)
    LOGIN_LOCK_MINUTES = env_int("LOGIN_LOCK_MINUTES", default=15, minimum=1, maximum=1440)
    # How many proxies stand in front: so many entries of X-Forwarded-For, from the right, are believed.
    TRUSTED_PROXIES = env_int("TRUSTED_PROXIES", default=0, minimum=0, maximum=10)
    # So long after a login at the admin the next one is due, however busy the session is.
    SESSION_HOURS = env_int("SESSION_HOURS", default=12, minimum=1, maximum=720)
    PASSWORD_LENGTH = env_int("PASSWORD_LENGTH", default=12, minimum=8, maximum=100)
    # For how long a browser remembers to use https only.
    HSTS_SECONDS = env_int("HSTS_SECONDS", default=31_536_000)
except env.SettingError as error:
    raise ImproperlyConfigured(str(error)) from None

INSTALLED_APPS = [
    "project.apps.ProjectConfig",
    "unfold",
    "django.contrib.admin.apps.SimpleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "axes",
    "rest_framework",
    "drf_spectacular",
    "django_celery_beat",
    "workflows",
    "runs",
]
MIDDLEWARE = [
    "project.drain.DrainBody",
    "project.headers.ContentSecurityPolicy",
    "project.headers.KeepNothing",
    "django.middleware.security.SecurityMiddleware",
    "project.nul.RefuseNul",
    "project.static.StaticFiles",
    "project.static.CompressPages",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
APPEND_SLASH = False
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

# Without idle_in_transaction_session_timeout, a process that freezes between BEGIN and COMMIT would keep the locks of a
# hundred runs. Without force_generic_plan, the server would plan statements anew at each execution: a generic plan
# assumes some ten runs, and so looks more expensive than a custom plan for the one run at hand. And a generic plan that
# was made while a table was empty stays in use when the table has grown: enable_seqscan=off keeps sequential scans out
# of it.
_postgres_options = (
    "-c idle_in_transaction_session_timeout=5000 -c lock_timeout=4000 -c plan_cache_mode=force_generic_plan"
    f" -c enable_seqscan=off -c jit=off -c statement_timeout={DATABASE_STATEMENT_TIMEOUT_SECONDS * 1000}"
)
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.name,
        "USER": _database.user,
        "PASSWORD": _database.password,
        "HOST": _database.host,
        "PORT": _database.port,
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "application_name": "stepwise",
            "options": _postgres_options,
            # psycopg prepares a statement after this many executions, or at once if the caller asks for it. This high,
            # only the latter happens. Django's default, None, would switch both off, and also what
            # runs.queries.database prepares itself.
            "prepare_threshold": 2**31,
            **_database.options,
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
# A draft with thousands of steps is one form in the admin.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200_000

LOGGING = logs.configure(log_format=LOG_FORMAT, level=LOG_LEVEL)

STATIC_URL = "/static/"
# Static files are served from the installed packages: no collectstatic, and no second copy that could be outdated.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "project.static.Versioned"},
}
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

_VALIDATION = "django.contrib.auth.password_validation"
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": f"{_VALIDATION}.MinimumLengthValidator", "OPTIONS": {"min_length": PASSWORD_LENGTH}},
    {"NAME": f"{_VALIDATION}.UserAttributeSimilarityValidator"},
    {"NAME": f"{_VALIDATION}.CommonPasswordValidator"},
    {"NAME": f"{_VALIDATION}.NumericPasswordValidator"},
]
# The first of them refuses locked logins before a password is looked at, which costs a third of a second.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_HANDLER = "project.logins.ByNameAndAddress"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = LOGIN_FAILURES
AXES_COOLOFF_TIME = timedelta(minutes=LOGIN_LOCK_MINUTES)
# A login that is refused by the lock does not make it longer.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_CLIENT_IP_CALLABLE = "project.logins.address_of"
AXES_LOCKOUT_CALLABLE = "project.logins.locked"
# Its tables: failed logins only, until they have expired. Its pages would have another look than the admin's.
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
SESSION_COOKIE_AGE = SESSION_HOURS * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = STEPWISE_HTTPS
SESSION_COOKIE_NAME = f"stepwise_{INSTALLATION_ID}_session"
CSRF_COOKIE_NAME = f"stepwise_{INSTALLATION_ID}_csrf"
SECURE_HSTS_SECONDS = HSTS_SECONDS if STEPWISE_HTTPS else 0
# Health probes inside a cluster use plain http.
SECURE_REDIRECT_EXEMPT = [r"^health$"]
# With STEPWISE_HTTPS, a proxy in front must terminate TLS and set this header itself; see deploy/README.md.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if STEPWISE_HTTPS else None
X_FRAME_OPTIONS = "DENY"
# W005 and W021 ask for HSTS on subdomains and for browsers' preload lists; both would affect hosts that are not ours.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "workflows.workspaces.authentication.BearerToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "runs.api.http.problems.handler",
    "URL_FORMAT_OVERRIDE": None,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Stepwise",
    "DESCRIPTION": "Durable workflow automation.",
    "VERSION": "1",
    # Pydantic writes nullable values in the way of OpenAPI 3.1.
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "runs.api.http.openapi.with_actions",
    ],
}
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Stepwise",
    "SITE_HEADER": "Stepwise",
    "SITE_SYMBOL": "account_tree",
    "SITE_URL": "/admin/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "project.headers.favicon"}],
    "STYLES": ["project.headers.phone_styles"],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "project.headers.environment_label",
}
DJANGO_CELERY_BEAT_TZ_AWARE = True
