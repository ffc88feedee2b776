"""Wiring only: settings, Celery, URLs, health, logs, the embedded stack. Imported by nobody."""
