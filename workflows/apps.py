from collections.abc import Iterator

from django.apps import AppConfig, apps

from actions import sources


class WorkflowsConfig(AppConfig):
    name = "workflows"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        sources.add(actions_of_apps)


def actions_of_apps() -> Iterator[sources.Listed]:
    """Yield the actions that apps list in their AppConfig: `stepwise_actions = {name: dotted path of its class}`."""
    for app in apps.get_app_configs():
        listed = getattr(app, "stepwise_actions", None) or {}
        for name, path in listed.items() if isinstance(listed, dict) else ():
            yield sources.Listed(str(name), str(path), app.name)
