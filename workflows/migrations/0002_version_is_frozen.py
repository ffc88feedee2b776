from django.db import migrations

FORWARD = """
CREATE FUNCTION workflows_version_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'version % is frozen; publish a new one', OLD.id USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER workflows_version_is_frozen BEFORE UPDATE ON workflows_version
    FOR EACH ROW EXECUTE FUNCTION workflows_version_is_frozen();
"""
BACKWARD = """
DROP TRIGGER workflows_version_is_frozen ON workflows_version;
DROP FUNCTION workflows_version_is_frozen();
"""


class Migration(migrations.Migration):
    """Let the database refuse every change of a published version: runs rely on it."""

    dependencies = [("workflows", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
