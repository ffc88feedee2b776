"""The action `sub_workflow`: start a run of another workflow, and wait for its end unless `wait` is false."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from actions.base import ONCE, Action, Config, Context, Json, Retry, Spawn, Use
from actions.texts import Text, Whole


class SubWorkflowConfig(Config):
    uses: ClassVar[Mapping[str, Use]] = dict.fromkeys(("workflow", "version", "labels"), Use.DECISIVE)

    workflow: Text = Field(min_length=1, max_length=100, description="Name or id of a workflow of the same workspace")
    version: Whole | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Its version; without it, the current one"
    )
    input: Any = Field(default=None, description="The run's input; without it, the step's own input")
    wait: bool = Field(default=True, description="Wait for the run's end; with false the step succeeds at once")
    labels: dict[str, Text] = Field(default_factory=dict, description="Labels for the run, added to the workflow's own")


class SubWorkflow(Action[SubWorkflowConfig]):
    name: ClassVar[str] = "sub_workflow"
    summary: ClassVar[str] = "Start a run of another workflow and wait for its end, without occupying a worker"
    output: ClassVar[str] = '{"run": its id, "state": "succeeded", "output": its output}; without wait {"run": its id}'
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
