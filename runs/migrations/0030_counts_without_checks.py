from django.db import migrations, models


class Migration(migrations.Migration):
    """Numbers that are only counted up need no CHECK that they are not below zero, see 0028.

    Each table in a transaction of its own: statements that read a ticket and then its run would wait for a migration
    that holds both, and it for them.
    """

    atomic = False

    dependencies = [
        ('runs', '0029_rules_checked'),
    ]

    operations = [
        migrations.AlterField('run', 'generation', models.SmallIntegerField(default=1)),
        migrations.AlterField('run', 'depth', models.SmallIntegerField(db_default=0)),
        migrations.AlterField('run', 'parent_attempt', models.IntegerField(null=True)),
        migrations.AlterField('steprun', 'attempt', models.IntegerField(default=1)),
        migrations.AlterField('steprun', 'seq', models.IntegerField(null=True)),
        migrations.AlterField('steprun', 'awaits', models.IntegerField(null=True)),
        migrations.AlterField('steprun', 'open_items', models.IntegerField(null=True)),
        migrations.AlterField('ticket', 'sends', models.IntegerField(default=0)),
    ]
