"""Which workflows start which: what a publish warns of, and who is named when a workflow is archived or deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from django.db.models import Q

from actions import expressions
from actions.base import Json
from workflows.definitions import credential_names
from workflows.definitions.credential_names import Named
from workflows.definitions.definition import Compensation, Definition, StepDefinition
from workflows.definitions.errors import nearest
from workflows.models import Credential, Workflow, WorkflowAlias, Workspace

# So many are named in one message.
MOST_NAMED = 20
_ACTION = "sub_workflow"


def unknown_sub_workflows(definition: Definition, *, workspace: Workspace) -> Iterator[str]:
    """Yield a warning for each step that starts a workflow which the workspace does not have. At most three queries."""
    asked = [(where, name) for where, name in _named(definition) if name != definition.name]
    if not asked:
        return
    live = Workflow.objects.filter(workspace=workspace, kind=Workflow.Kind.WORKFLOW, archived_at__isnull=True)
    names = {name for _, name in asked}
    ids = {name: key for name in names if (key := _as_id(name)) is not None}
    found = live.filter(Q(name__in=names) | Q(pk__in=ids.values())).values_list("name", "pk")
    known = {name for name, _ in found} | {name for name, key in ids.items() if key in {pk for _, pk in found}}
    old = dict(
        WorkflowAlias.objects.filter(
            workspace=workspace, name__in=names - known, workflow__archived_at=None
        ).values_list("name", "workflow__name")
    )
    for where, name in [(where, name) for where, name in asked if name in old][:MOST_NAMED]:
        yield (
            f"{where}: workflow {name!r} was renamed to {old[name]!r}; write that, as the old name works only until "
            "another workflow takes it"
        )
    missing = [(where, name) for where, name in asked if name not in known and name not in old]
    others = list(live.values_list("name", flat=True)[:500]) if missing else []
    for where, name in missing[:MOST_NAMED]:
        yield (
            f"{where}: workspace {workspace.name!r} has no workflow {name!r} now{nearest(name, others)}; "
            "the step fails until there is one"
        )
    if len(missing) > MOST_NAMED:
        yield f"{len(missing) - MOST_NAMED} more steps start workflows that there are not"


def credential_warnings(definition: Definition, *, workspace: Workspace) -> Iterator[str]:
    """Yield a warning for each credential that is not there, has not the field, or is of another kind. One query."""
    asked = credential_names.named(definition)
    if not asked:
        return
    rows = Credential.objects.filter(workspace=workspace).values_list("name", "kind", "fields")
    known = {name: (kind, fields) for name, kind, fields in rows}
    found = [told for one in asked if (told := _unlike(one, known, workspace=workspace)) is not None]
    yield from found[:MOST_NAMED]
    if len(found) > MOST_NAMED:
        yield f"{len(found) - MOST_NAMED} more places name credentials in this way"


def _unlike(named: Named, known: Mapping[str, tuple[str, list[str]]], *, workspace: Workspace) -> str | None:
    if named.name not in known:
        return (
            f"{named.where}: workspace {workspace.name!r} has no credential {named.name[:100]!r} now"
            f"{nearest(named.name[:100], known)}; the step fails until there is one"
        )
    kind, fields = known[named.name]
    if named.field is not None and named.field not in fields:
        hint = nearest(named.field, fields)
        return f"{named.where}: credential {named.name!r} of kind {kind} has no field {named.field[:100]!r}{hint}"
    if named.kinds and kind not in named.kinds:
        takes = ", ".join(named.kinds)
        return f"{named.where}: credential {named.name!r} is of kind {kind}; the action takes one of {takes}"
    return None


def referring(workflow: Workflow, *, names: Sequence[str] = ()) -> list[str]:
    """Return the names of workflows whose current version starts this one: the first few.

    By one of these names, or else by any that means it now: its name, its id and its aliases.
    """
    found = Q()
    for said in names or (workflow.name, str(workflow.pk), *workflow.aliases.values_list("name", flat=True)):
        step: dict[str, Json] = {"action": _ACTION, "with": {"workflow": said}}
        for part in ("steps", "on_failure", "finally"):
            found |= Q(current__definition__contains={part: [step]})
            found |= Q(current__definition__contains={part: [{"compensate": step}]})
    others = Workflow.objects.filter(workspace=workflow.workspace_id, archived_at__isnull=True).exclude(pk=workflow.pk)
    return list(others.filter(found).order_by("name").values_list("name", flat=True)[: MOST_NAMED + 1])


def referred_to(workflow: Workflow) -> str:
    """Return what to add to a message about a workflow that goes: who refers to it; an empty text where nobody does."""
    names = referring(workflow)
    told = ", ".join(repr(name) for name in names[:MOST_NAMED])
    more = " and more" if len(names) > MOST_NAMED else ""
    return f" It is started by {told}{more}, whose steps fail from now on." if names else ""


def _named(definition: Definition) -> Iterator[tuple[str, str]]:
    """Yield path and name of each sub-workflow that is named as text, without an expression."""
    parts = {"steps": definition.steps, "on_failure": definition.on_failure, "finally": definition.finally_}
    for part, steps in parts.items():
        for index, step in enumerate(steps):
            for where, said in ((f"{part}[{index}]", step), (f"{part}[{index}].compensate", step.compensate)):
                name = _name_in(said)
                if name is not None:
                    yield f"{where}.with.workflow", name


def _name_in(said: StepDefinition | Compensation | None) -> str | None:
    if said is None or said.action != _ACTION or not isinstance(said.with_, dict):
        return None
    name = said.with_.get("workflow")
    return name if isinstance(name, str) and not expressions.has_expression(name) else None


def _as_id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None
