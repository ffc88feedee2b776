"""The action `approval`: wait, without occupying a worker, until a person approves or rejects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from actions.base import (
    ACCEPTED,
    ONCE,
    Action,
    Config,
    Context,
    Example,
    Json,
    Output,
    Park,
    Permanent,
    Retry,
    Retryable,
    Use,
    Woken,
)
from actions.moments import UntilConfig, iso
from actions.texts import Text

# The signal that approval steps wait for. Signals from outside cannot have this name, as theirs begin with no colon.
SIGNAL = ":approval"


def _not_nobody(names: list[str], info: ValidationInfo) -> list[str]:
    """Refuse an empty list: whoever computed it did not mean everybody."""
    if not names and info.context is not ACCEPTED:
        raise ValueError("names nobody; name a user, or leave it out to let everybody decide who may change runs")
    return names


Approvers = Annotated[
    list[Annotated[Text, Field(min_length=1, max_length=150)]], Field(max_length=100), AfterValidator(_not_nobody)
]


class ApprovalConfig(UntilConfig):
    uses: ClassVar[Mapping[str, Use]] = {**UntilConfig.uses, "approvers": Use.DECISIVE, "message": Use.PROSE}

    message: Text = Field(
        min_length=1, max_length=5000, description="The question to be decided, shown to people", examples=["Ship it?"]
    )
    approvers: Approvers = Field(
        default=[], description="Names of the users who may decide; if left out, everybody who may change runs"
    )
    on_expiry: Literal["fail", "approve", "reject"] = Field(
        default="fail", description="The result if nobody decides in time"
    )
    on_reject: Literal["fail", "continue"] = Field(
        default="fail",
        description="fail: a rejection fails the step; continue: it succeeds, and later steps can read output.approved",
    )


class ApprovalOutput(Output):
    approved: bool = Field(description="The decision")
    by: str | None = Field(description="Who decided; null where nobody did in time")
    comment: str = Field(description="What they wrote, or that nobody decided")
    at: str = Field(description="When, in ISO 8601 UTC")


class Approval(Action[ApprovalConfig]):
    name: ClassVar[str] = "approval"
    summary: ClassVar[str] = "Wait until somebody approves or rejects, without occupying a worker"
    description: ClassVar[str] = (
        "The step waits as a row. The question is shown in the admin, in `GET /api/v1/approvals`, and on the page "
        "of a signed link (`approve_url`), which can be sent to whoever is to decide. A rejection fails the step "
        "unless `on_reject` is `continue`; what happens if nobody decides by `timeout` or `until` is said by "
        "`on_expiry`."
    )
    output: ClassVar[str] = '{"approved": bool, "by": name or null, "comment": text, "at": the time in ISO 8601 UTC}'
    output_class: ClassVar[type[Output] | None] = ApprovalOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Ask before a large order is sent",
            config={"message": "Send order {{ input.order }}?", "timeout": "2d", "on_reject": "continue"},
            input={"order": 4711},
            payload={"approved": False, "by": "ada", "comment": "too large"},
            output={"approved": False, "by": "ada", "comment": "too large"},
        ),
    )
    parks: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = ApprovalConfig

    def perform(self, config: ApprovalConfig, context: Context) -> Park:
        return Park(wake_at=config.ends_at(context.now), signal=SIGNAL)

    def woken(self, config: ApprovalConfig, woken: Woken) -> Json:
        payload = woken.payload if woken.by_signal else None
        decision = payload if isinstance(payload, dict) else self._expired(config, woken)
        approved = decision.get("approved") is True
        by, comment = decision.get("by"), str(decision.get("comment") or "")
        if not approved and config.on_reject == "fail":
            suffix = f": {comment}" if comment else ""
            raise Permanent(f"step {woken.step!r} was rejected by {by or 'nobody, in time'}{suffix}", kind="rejected")
        return {"approved": approved, "by": by, "comment": comment, "at": iso(woken.at)}

    def _expired(self, config: ApprovalConfig, woken: Woken) -> dict[str, Any]:
        if config.on_expiry == "fail":
            raise Retryable(f"step {woken.step!r}: nobody approved or rejected {config.limit()}", kind="timeout")
        return {"approved": config.on_expiry == "approve", "by": None, "comment": f"nobody decided {config.limit()}"}
