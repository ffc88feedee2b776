"""Read the filters of a list from its query string; an unknown one is refused and the known ones are named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from rest_framework.request import Request

from runs.api.http.problems import bad, missing
from workflows.definitions.errors import nearest

PAGING = ("limit", "cursor")
# Words of other engines for a run that ended well.
SYNONYMS = {"success": "succeeded", "completed": "succeeded"}
_LABEL = "label."


@dataclass(frozen=True)
class Filters:
    """The filters that were given. `states` is empty where all are wanted."""

    values: dict[str, str] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """The value of a filter, None where it was not given."""
        return self.values.get(name)


def read(request: Request, *, known: Iterable[str], states: type[StrEnum] | None = None) -> Filters:
    """The filters of this request. `label.<key>` is read where `label.<key>` is known. Raises Refused (400)."""
    return parse(request.query_params.lists(), known=[*known, *PAGING], states=states)


def parse(
    pairs: Iterable[tuple[str, list[str]]],
    *,
    known: Iterable[str],
    states: type[StrEnum] | None = None,
    path: str = "",
) -> Filters:
    """Read filters from (name, values) pairs. A refusal (Refused, 400) names a filter with `path` before its name."""
    names = [*known]
    allowed = [*names, *(("state", "status") if states else ())]
    values: dict[str, str] = {}
    labels: dict[str, str] = {}
    wanted: list[str] = []
    for name, given in pairs:
        where = path + name.replace("\x00", "?")
        if "\x00" in name or any("\x00" in part for part in given):
            raise bad(where, "has a NUL character; remove it")
        if f"{_LABEL}<key>" in names and name.startswith(_LABEL) and len(name) > len(_LABEL):
            labels[name.removeprefix(_LABEL)] = given[-1]
        elif states is not None and name in ("state", "status"):
            wanted += _states(",".join(given), name=where, states=states)
        elif name in allowed:
            values[name] = given[-1]
        else:
            raise bad(where, f"is not a known filter; known are {', '.join(sorted(allowed))}")
    return Filters(values, wanted, labels)


def parse_id(key: str, *, what: str) -> UUID:
    """The id in an address. Raises Refused (404) for what is none."""
    try:
        return UUID(key)
    except ValueError:
        raise missing(what, key) from None


def as_id(given: str, *, name: str) -> UUID:
    """The id in a filter. Raises Refused (400)."""
    try:
        return UUID(given)
    except ValueError:
        raise bad(name, f"must be an id, not {given[:40]!r}") from None


def _states(given: str, *, name: str, states: type[StrEnum]) -> list[str]:
    known = [state.value for state in states]
    found = []
    for word in given.split(","):
        state = SYNONYMS.get(word.strip(), word.strip())
        if state not in known:
            raise bad(name, f"{word[:40]!r} is not a state{nearest(state, known)}")
        found.append(state)
    return found
