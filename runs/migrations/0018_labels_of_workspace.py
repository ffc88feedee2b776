import django.contrib.postgres.indexes
from django.contrib.postgres.operations import AddIndexConcurrently, BtreeGinExtension, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Big tables stay open meanwhile. The extension is part of PostgreSQL's contrib, and trusted: its owner may."""

    atomic = False

    dependencies = [
        ('runs', '0017_leaner_runs'),
    ]

    operations = [
        BtreeGinExtension(),
        AddIndexConcurrently(
            model_name='run',
            index=django.contrib.postgres.indexes.GinIndex(condition=models.Q(('labels', {}), _negated=True), fields=['workspace', 'labels'], name='run_labelled'),
        ),
        RemoveIndexConcurrently(
            model_name='run',
            name='run_labels',
        ),
    ]
