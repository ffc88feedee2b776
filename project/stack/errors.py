"""The one error of the stack."""


class StackError(Exception):
    """Something cannot be started; its one line says what, where, and what to do."""
