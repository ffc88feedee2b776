"""The error of the embedded stack."""


class StackError(Exception):
    """Something cannot be started. The message, one line, says what, where, and what to do."""
