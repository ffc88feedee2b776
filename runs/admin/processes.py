"""The admin's pages for worker processes and their leases."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone

from runs.admin.base import Columns
from runs.admin.formatting import moment
from runs.models import Process


@admin.register(Process)
class ProcessAdmin(Columns):
    """Worker processes and their leases."""

    list_display = ("key", "host", "pid", "lives", "started", "expires")
    ordering = ("-expires_at",)
    search_fields = ("id", "host")
    search_help_text = "A process's id, or a host"
    search_texts = ("host",)
    fields = readonly_fields = ("id", "host", "pid", "lives", "started", "expires")

    @admin.display(description="alive", boolean=True)
    def lives(self, process: Process) -> bool:
        return process.expires_at > timezone.now()

    @admin.display(description="lease until", ordering="expires_at")
    def expires(self, process: Process) -> str:
        return moment(process.expires_at)
