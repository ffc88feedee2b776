"""Find the installed wheels that contain server programs. They are not imported; only their files are used."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from project.stack.errors import StackError


def wheel(package: str) -> Path:
    """Return the directory of an installed package. Raises StackError if it is not installed."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise StackError(f"the package {package} is not installed; run `make up`, which installs it")
    return Path(spec.origin).parent
