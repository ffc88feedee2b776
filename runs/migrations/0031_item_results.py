from django.db import migrations

# The results of a for_each step's items in their order, as the text of a JSON list; NULL if it were longer than `most`
# bytes. A loop, because it ends at the limit: to add up the sizes of all results, PostgreSQL would decompress all.
RESULTS = """
CREATE FUNCTION runs_item_results(of_run uuid, of_step text, most bigint) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    one record;
    part text;
    parts text[] := '{}';
    total bigint := 2;
BEGIN
    FOR one IN SELECT state, output, error FROM runs_steprun
               WHERE run_id = of_run AND step = of_step AND item >= 0 ORDER BY item LOOP
        part := CASE WHEN one.state = 'failed' THEN jsonb_build_object('error', one.error)::text
                     ELSE coalesce(one.output::text, 'null') END;
        total := total + octet_length(part) + 1;
        IF total > most THEN
            RETURN NULL;
        END IF;
        parts := parts || part;
    END LOOP;
    RETURN '[' || array_to_string(parts, ',') || ']';
END $$
"""


class Migration(migrations.Migration):
    """Let the size of a for_each step's results be that of their JSON, where it was that of their compressed form."""

    dependencies = [
        ('runs', '0030_counts_without_checks'),
    ]

    operations = [
        migrations.RunSQL(RESULTS, 'DROP FUNCTION runs_item_results(uuid, text, bigint)'),
    ]
