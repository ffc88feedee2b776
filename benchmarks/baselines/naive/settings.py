"""Stepwise's settings plus the naive app, so that both use the same database in the same way."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.baselines.naive"]
