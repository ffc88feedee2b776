"""What a step can do. A leaf package: no models, no ORM, no Celery."""
