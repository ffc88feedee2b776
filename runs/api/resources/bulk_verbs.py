"""One verb over many: find out which ones are meant, do it, and tell which were won and which were not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view

from runs.api.http import filters
from runs.api.http.base import WRITE, ScopedView
from runs.api.http.filters import Filters
from runs.api.http.problems import bad
from runs.control.preconditions import AT_ONCE, UNKNOWN
from runs.control.verbs import Target, Verb
from runs.schemas.bulk import BulkNote, BulkResult, Lost
from runs.schemas.requests import Bulk as BulkRequest
from workflows.workspaces import permissions

M = TypeVar("M", bound=Model)
V = TypeVar("V", bound=type[ScopedView])
States = dict[UUID, str]
_PLURALS = {Target.RUN: "runs", Target.STEP: "steps", Target.DEAD_LETTER: "dead_letters", Target.WORKFLOW: "workflows"}


def described(
    verb: Verb, *, request: object, responses: Mapping[int, object], more: str = "", **schema: Any
) -> Callable[[V], V]:
    """Make a view's POST the verb: its right is asked for, its name and sentence stand in the OpenAPI document.

    `more` is what the API adds to the sentence; `schema` are further keywords of drf-spectacular's extend_schema.
    """
    operation = schema.pop("operation_id", f"{_PLURALS[verb.target]}_{verb.name}")
    way = permissions.way(f"api: {operation}", verb.right)
    documented = extend_schema(
        operation_id=operation,
        description=f"{verb.does} {more}".strip(),
        request=request,
        responses=dict(responses),
        **schema,
    )

    def decorate(view: V) -> V:
        view.changes = way
        return extend_schema_view(post=documented)(view)

    return decorate


def described_many(verb: Verb, *, request: object = BulkRequest) -> Callable[[V], V]:
    """The same of a view over many: those of `ids`, or up to 1000 that pass `filter`."""
    return described(
        verb,
        request=request,
        responses={200: BulkResult, **WRITE},
        more=f"It is done to `ids`, or to up to {AT_ONCE} that pass `filter`, oldest first.",
        operation_id=f"{_PLURALS[verb.target]}_{verb.name}_many",
    )


@dataclass(frozen=True)
class Bulk:
    """A verb over many: the verb, and the filters and states by which they may be chosen."""

    verb: Verb
    known: tuple[str, ...]
    all_states: type[StrEnum]


@dataclass(frozen=True)
class Chosen:
    """Those that are there, those that are not, and how many more match."""

    ids: list[UUID]
    unknown: list[UUID]
    more: int


def choose(wanted: BulkRequest, *, bulk: Bulk, matching: Callable[[Filters], QuerySet[M]]) -> Chosen:
    """The ones that `ids` or `filter` means, legal states first. Raises Refused (400)."""
    if (wanted.ids is None) == (wanted.filter is None):
        raise bad("", "send either `ids` or `filter`")
    if wanted.ids is not None:
        named = [filters.as_id(key, name=f"ids[{index}]") for index, key in enumerate(wanted.ids)]
        return _named(list(dict.fromkeys(named)), among=matching(Filters()))
    given = filters.parse(
        [(name, [value]) for name, value in (wanted.filter or {}).items()],
        known=bulk.known,
        states=bulk.all_states,
        path="filter.",
    )
    states = _legal_states(given, verb=bulk.verb)
    return _first(matching(Filters(given.values, states, given.labels)))


def result(
    chosen: Chosen, *, won: Iterable[UUID], states: Callable[[Sequence[UUID]], States], notes: Mapping[UUID, str]
) -> BulkResult:
    """The answer; `states` looks up how those stand that were not won, `notes` tell of those that were."""
    winners = set(won)
    losers = [key for key in chosen.ids if key not in winners]
    found = states(losers) if losers else {}
    lost = [Lost(id=key, state=found.get(key, UNKNOWN)) for key in losers]
    lost += [Lost(id=key, state=UNKNOWN) for key in chosen.unknown]
    told = [BulkNote(id=key, note=notes[key]) for key in chosen.ids if key in notes]
    return BulkResult(won=[key for key in chosen.ids if key in winners], lost=lost, more=chosen.more, notes=told)


def _named(ids: list[UUID], *, among: QuerySet[M]) -> Chosen:
    there = set(among.filter(pk__in=ids).values_list("pk", flat=True))
    return Chosen([key for key in ids if key in there], [key for key in ids if key not in there], more=0)


def _first(found: QuerySet[M]) -> Chosen:
    """The oldest that match."""
    ids = list(found.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    more = found.filter(pk__gt=ids[-1]).count() if len(ids) == AT_ONCE else 0
    return Chosen(ids, [], more)


def _legal_states(given: Filters, *, verb: Verb) -> list[str]:
    allowed = sorted(state.value for state in verb.states)
    wrong = [state for state in given.states if state not in allowed]
    if wrong:
        raise bad("filter.state", f"{wrong[0]!r} ones cannot be {verb.past}; name only {', '.join(allowed)}")
    return given.states or allowed
