"""Benchmarks: Stepwise against a bare Celery chain and a naive durable app; same work, same machine, same session."""
