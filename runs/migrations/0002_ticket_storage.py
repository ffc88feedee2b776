"""Tickets come and go all the time: leave room for updates in the page, and vacuum early."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("runs", "0001_initial")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE runs_ticket SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)",
            "ALTER TABLE runs_ticket RESET (fillfactor, autovacuum_vacuum_scale_factor)",
        )
    ]
