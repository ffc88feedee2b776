from django.db import migrations, models


class Migration(migrations.Migration):
    """Workflows can be archived."""

    dependencies = [
        ('workflows', '0009_token_last_used'),
    ]

    operations = [
        migrations.AddField(
            model_name='workflow',
            name='archived_at',
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
