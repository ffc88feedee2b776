"""The statuses of jobs and of workflows in the short form: the words of other job engines, beside our own states."""

from __future__ import annotations

from enum import StrEnum

from runs.domain.states import RUN_ENDED, RunState


class JobStatus(StrEnum):
    """PENDING is a job that is paused before it began. DEAD_LETTER failed and has an open dead letter.

    FAILED is every other end without success: its dead letter was discarded, or it was cancelled.
    """

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD_LETTER = "dead_letter"


class WorkflowStatus(StrEnum):
    """FAILED is every end without success, a cancel included; `state` says which it was."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


def job_status(state: str, *, paused: bool, retrying: bool, letter: bool) -> JobStatus:
    """Return the status of a job, given its run's state, whether a retry waits, and whether a dead letter is open."""
    if state == RunState.QUEUED:
        return JobStatus.PENDING if paused else JobStatus.QUEUED
    if state == RunState.SUCCEEDED:
        return JobStatus.COMPLETED
    if state in RUN_ENDED:
        return JobStatus.DEAD_LETTER if letter else JobStatus.FAILED
    return JobStatus.RETRYING if retrying else JobStatus.RUNNING


def workflow_status(state: str) -> WorkflowStatus:
    """Return the status of a workflow that was started, given its run's state."""
    if state == RunState.QUEUED:
        return WorkflowStatus.PENDING
    if state == RunState.SUCCEEDED:
        return WorkflowStatus.COMPLETED
    return WorkflowStatus.FAILED if state in RUN_ENDED else WorkflowStatus.RUNNING
