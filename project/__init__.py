"""Wiring: settings, Celery, URLs, health, logs, the embedded servers. No other package imports it."""
