"""What runs inside Celery's worker processes: tasks, delivery, the threads of the main process, polling without a
broker.
"""
