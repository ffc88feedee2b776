"""The action `set_labels`: put labels on the run that performs it, exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from actions.base import Action, Config, Context, Example, Json, Output, Use
from actions.texts import Text

MAX_LABEL, MAX_NAME, MOST = 255, 100, 1000
_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class SetLabelsConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = {"labels": Use.DECISIVE, "remove": Use.DECISIVE}

    labels: dict[_Name, Annotated[Text, Field(max_length=MAX_LABEL)]] = Field(
        default_factory=dict,
        max_length=MOST,
        description="{name: text}; a label that the run has already gets this text",
        examples=[{"customer": "{{ input.customer }}"}],
    )
    remove: list[Text] = Field(default_factory=list, max_length=MOST, description="Names of labels to take away")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.labels and not self.remove:
            raise ValueError("needs labels to set, or names to remove")
        both = next((name for name in self.remove if name in self.labels), None)
        if both is not None:
            raise ValueError(f"sets and removes {both[:40]!r}; keep one of them")
        return self


class SetLabelsOutput(Output):
    labels: dict[str, Any] = Field(description="All labels that the run has then")


class SetLabels(Action[SetLabelsConfig]):
    """The labels are written in the transaction that records the step: both are there, or neither."""

    name: ClassVar[str] = "set_labels"
    summary: ClassVar[str] = "Put labels on this run"
    description: ClassVar[str] = (
        "Runs are found by their labels in lists, in bulk verbs and in alerts. The labels are written together with "
        "the record of the step, so exactly once. A label has up to 255 characters, and a run up to 1,000 of them."
    )
    output: ClassVar[str] = '{"labels": all that the run has then}'
    output_class: ClassVar[type[Output] | None] = SetLabelsOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Find runs by what they came to",
            config={"labels": {"customer": "{{ input.customer }}", "size": 3}},
            input={"customer": "ada"},
            output={"labels": {"customer": "ada", "size": "3"}},
        ),
    )
    transactional: ClassVar[bool] = True
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = SetLabelsConfig

    def perform(self, config: SetLabelsConfig, context: Context) -> Json:
        return {"labels": dict(context.database.set_labels(config.labels, remove=config.remove))}
