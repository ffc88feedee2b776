"""The admin's pages for tickets."""

from __future__ import annotations

from django.contrib import admin

from runs.admin.base import Columns
from runs.admin.formatting import moment
from runs.control.pauses import HELD_FROM_YEAR
from runs.models import Ticket


@admin.register(Ticket)
class TicketAdmin(Columns):
    """Tickets: the steps that are to be performed, and when each is due."""

    list_display = ("head", "short_run", "due", "next_knock", "sends", "suspect")
    list_filter = ("suspect",)
    search_fields = ("run",)
    search_help_text = "A run's id"
    search_ids = ("run_id",)
    fields = readonly_fields = ("run_page", "head", "item", "due", "next_knock", "sends", "suspect")

    @admin.display(description="due", ordering="due_at")
    def due(self, ticket: Ticket) -> str:
        return "when its run is resumed" if ticket.due_at.year >= HELD_FROM_YEAR else moment(ticket.due_at)

    @admin.display(description="next knock", ordering="knock_at")
    def next_knock(self, ticket: Ticket) -> str:
        return "when its run is resumed" if ticket.knock_at.year >= HELD_FROM_YEAR else moment(ticket.knock_at)
