"""The action `sub_workflow`: start a run of another workflow, and wait for its end unless `wait` is false."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Retry, Spawn, Use
from actions.texts import Text, Whole


class SubWorkflowConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = dict.fromkeys(("workflow", "version", "labels"), Use.DECISIVE)

    workflow: Text = Field(
        min_length=1,
        max_length=100,
        description="Name or id of a workflow of the same workspace",
        examples=["make-invoice"],
    )
    version: Whole | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Its version; without it, the current one"
    )
    input: Any = Field(default=None, description="The run's input; without it, the step's own input")
    wait: bool = Field(default=True, description="Wait for the run's end; with false the step succeeds at once")
    labels: dict[str, Text] = Field(default_factory=dict, description="Labels for the run, added to the workflow's own")


class SubWorkflowOutput(Output):
    run: str = Field(description="The id of the run that was started")
    state: str = Field(default="succeeded", description="Its end; not there without `wait`")
    output: Any = Field(default=None, description="Its output; not there without `wait`")


class SubWorkflow(Action[SubWorkflowConfig]):
    name: ClassVar[str] = "sub_workflow"
    summary: ClassVar[str] = "Start a run of another workflow and wait for its end, without occupying a worker"
    description: ClassVar[str] = (
        "The run is of the same workspace, and of the version that is current when the step begins, unless "
        "`version` says another. While it goes on, the step waits as a row; a cancel of this run cancels it too. If "
        "it fails, the step fails, and a retry of the step starts another run. In a `for_each` every item starts a "
        "run of its own."
    )
    output: ClassVar[str] = '{"run": its id, "state": "succeeded", "output": its output}; without wait {"run": its id}'
    output_class: ClassVar[type[Output] | None] = SubWorkflowOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="Work out a price in another workflow",
            config={"workflow": "price", "input": {"pieces": 3}},
            workflows=(
                {
                    "name": "price",
                    "steps": [
                        {"id": "work", "action": "transform", "with": {"set": {"total": "{{ input.pieces * 2 }}"}}}
                    ],
                    "output": "{{ steps.work.output }}",
                },
            ),
            output={"state": "succeeded", "output": {"total": 6}},
        ),
    )
    parks: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    config_class: ClassVar[type[Config]] = SubWorkflowConfig

    def perform(self, config: SubWorkflowConfig, context: Context) -> Spawn:
        return Spawn(
            workflow=config.workflow,
            version=config.version,
            input=config.input if "input" in config.model_fields_set else context.input,
            wait=config.wait,
            labels=config.labels,
        )

    @classmethod
    def reads_input(cls, config: Json) -> bool:
        return not isinstance(config, dict) or "input" not in config
