import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """A renamed workflow keeps its old name as an alias."""

    dependencies = [
        ('workflows', '0011_name_once_unless_archived'),
    ]

    operations = [
        migrations.CreateModel(
            name='WorkflowAlias',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('workflow', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='aliases', to='workflows.workflow')),
                ('workspace', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='workflows.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'name'), name='workflow_alias_once')],
            },
        ),
    ]
