"""Measure Stepwise beside a bare Celery chain and the naive durable way: same work, same machine, same run."""
