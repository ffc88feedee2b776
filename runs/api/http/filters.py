"""Read the filters of a list from its query string; an unknown one is refused and the known ones are named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from rest_framework.request import Request

from runs.api.http.problems import bad, missing
from workflows.definitions.errors import nearest

PAGING = ("limit", "cursor")
# Words of other engines for a run that ended well.
SYNONYMS = {"success": "succeeded", "completed": "succeeded"}
MOST_VALUES = 20
_LABEL = "label."


@dataclass(frozen=True)
class Filters:
    """The filters that were given. `states` and `statuses` are empty where all are wanted. A label may have several
    values, of which any will do.

    `statuses` has the words of a list whose `status` is not its `state`; a word that is no status there is a state.
    """

    values: dict[str, str] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)
    labels: dict[str, list[str]] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        """The value of a filter, None where it was not given."""
        return self.values.get(name)


def read(
    request: Request,
    *,
    known: Iterable[str],
    states: type[StrEnum] | None = None,
    statuses: type[StrEnum] | None = None,
) -> Filters:
    """The filters of this request. `label.<key>` is read where `label.<key>` is known. Raises Refused (400)."""
    return parse(request.query_params.lists(), known=[*known, *PAGING], states=states, statuses=statuses)


def parse(
    pairs: Iterable[tuple[str, list[str]]],
    *,
    known: Iterable[str],
    states: type[StrEnum] | None = None,
    statuses: type[StrEnum] | None = None,
    path: str = "",
) -> Filters:
    """Read filters from (name, values) pairs. A refusal (Refused, 400) names a filter with `path` before its name.

    `status` means the same as `state`, unless `statuses` are given.
    """
    names = [*known]
    allowed = [*names, *(("state", "status") if states else ())]
    values: dict[str, str] = {}
    labels: dict[str, list[str]] = {}
    wanted: list[str] = []
    found: list[str] = []
    for name, given in pairs:
        where = path + name.replace("\x00", "?")
        if "\x00" in name or any("\x00" in part for part in given):
            raise bad(where, "has a NUL character; remove it")
        if f"{_LABEL}<key>" in names and name.startswith(_LABEL) and len(name) > len(_LABEL):
            if len(given) > MOST_VALUES:
                raise bad(where, f"has {len(given):,} values; {MOST_VALUES} are the limit")
            labels[name.removeprefix(_LABEL)] = [*dict.fromkeys(given)]
        elif states is not None and statuses is not None and name == "status":
            found += _words(",".join(given), name=where, known=[*statuses, *states], also={"success": "succeeded"})
        elif states is not None and name in ("state", "status"):
            wanted += _words(",".join(given), name=where, known=[*states], also=SYNONYMS)
        elif name in allowed:
            if len(set(given)) > 1:
                raise bad(where, "is given several times with different values; keep one of them")
            values[name] = given[-1]
        else:
            raise bad(where, f"is not a known filter; known are {', '.join(sorted(allowed))}")
    return Filters(values, wanted, labels, found)


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


def _words(given: str, *, name: str, known: list[StrEnum], also: Mapping[str, str]) -> list[str]:
    words = list(dict.fromkeys(state.value for state in known))
    found = []
    for part in given.split(","):
        word = also.get(part.strip(), part.strip())
        if word not in words:
            raise bad(name, f"{part.strip()[:40]!r} is not a {name.rpartition('.')[2]}{nearest(word, words)}")
        found.append(word)
    return found
