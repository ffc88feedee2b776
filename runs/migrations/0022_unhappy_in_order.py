from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('runs', '0021_indexes_of_letters'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(condition=models.Q(('state__in', ['cancelled', 'compensated', 'failed'])), fields=['state', 'id'], name='run_unhappy_of_all'),
        ),
    ]
