"""Settings for tools that read the code and reach no server: mypy, `makemigrations --check`, `check`."""

import os

os.environ["STEPWISE_ENV_FILE"] = os.devnull
os.environ["SECRET_KEY"] = "read-by-tools-that-never-serve-a-request-0123456789-abcdef"  # noqa: S105 - no secret
os.environ["CREDENTIAL_KEYS"] = "cmVhZC1ieS10b29scy1vbmx5LW5vLXNlY3JldC0wMTI="
os.environ["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
os.environ["REDIS_URL"] = "redis://127.0.0.1:1/0"

from project.settings import *  # noqa: F403 - the lines above have to come first
