"""Stepwise's settings, so that both talk to the same database in the same way, and the naive app's models."""

from project.settings import *  # noqa: F403
from project.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.baselines.naive"]
