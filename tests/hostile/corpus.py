"""All hostile cases: the `CASES` of every module of this package that has them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import tests.hostile
from tests.hostile.case import Case


@cache
def cases() -> tuple[Case, ...]:
    """Return the whole corpus, by module and in the order of each."""
    names = sorted(
        module.name for module in iter_modules(tests.hostile.__path__) if not module.name.startswith("test_")
    )
    modules = [import_module(f"tests.hostile.{name}") for name in names if name != "__main__"]
    return tuple(case for module in modules for case in getattr(module, "CASES", ()))
