import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    """Runs share values under keys."""

    dependencies = [
        ('runs', '0033_step_log'),
        ('workflows', '0014_variables'),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE SEQUENCE IF NOT EXISTS runs_state_version", "DROP SEQUENCE IF EXISTS runs_state_version"
        ),
        migrations.CreateModel(
            name='State',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('scope', models.UUIDField()),
                ('key', models.CharField(max_length=200)),
                ('value', models.JSONField()),
                ('version', models.BigIntegerField()),
                ('expires_at', models.DateTimeField(null=True)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('workflow', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='workflows.workflow')),
                ('workspace', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='workflows.workspace')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('expires_at__isnull', False)), fields=['expires_at'], name='state_expires')],
                'constraints': [models.UniqueConstraint(fields=('scope', 'key'), name='state_once')],
            },
        ),
    ]
