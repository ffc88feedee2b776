"""The tables of runs: runs, step runs, tickets, dead letters, signals and what belongs to them, one file each."""

from runs.models.checkpoints import Checkpoint
from runs.models.dead_letters import DeadLetter
from runs.models.effects import Effect
from runs.models.gates import Gate
from runs.models.interventions import Intervention, WorkflowIntervention
from runs.models.item_batches import ItemBatch
from runs.models.processes import Process
from runs.models.runs import Run
from runs.models.signals import Signal
from runs.models.state import State
from runs.models.step_logs import StepLog
from runs.models.step_runs import Approval, StepRun
from runs.models.tickets import Ticket

__all__ = [
    "Approval",
    "Checkpoint",
    "DeadLetter",
    "Effect",
    "Gate",
    "Intervention",
    "ItemBatch",
    "Process",
    "Run",
    "Signal",
    "State",
    "StepLog",
    "StepRun",
    "Ticket",
    "WorkflowIntervention",
]
