"""The everyday durable way: Django and Celery, one ORM row for a step, saved twice. The connection is kept."""
