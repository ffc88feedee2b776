"""The naive durable app: Django and Celery, one ORM row per step, saved twice. The database connection is kept."""
