"""The action `switch`: choose one of several named routes, each of which leads to a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from actions import expressions
from actions.base import ONCE, Action, Config, Context, Example, Json, Output, Permanent, Retry
from actions.expressions import ExpressionError
from actions.expressions.values import same
from actions.texts import Text

MAX_ROUTES = 100


class Route(Config):
    goto: Text = Field(min_length=1, max_length=200, description="The step that this route leads to")
    name: Text | None = Field(
        default=None, min_length=1, max_length=100, description="The route's name; without it, that of the step"
    )
    when: Any = Field(default=None, description="An expression such as `input.age >= 18`; the first true one wins")
    is_: Any = Field(default=None, alias="is", description="The `value` that chooses this route, or a list of them")

    @model_validator(mode="after")
    def _one_condition(self) -> Self:
        if ("when" in self.model_fields_set) is ("is_" in self.model_fields_set):
            raise ValueError("needs either `when`, an expression, or `is`, what `value` is to be")
        return self

    @property
    def called(self) -> str:
        """The route's name."""
        return self.name or self.goto


class SwitchConfig(Config):
    routes: list[Route] = Field(
        min_length=1,
        max_length=MAX_ROUTES,
        description="The routes, in order; the first that fits is taken",
        examples=[[{"when": "input.age >= 18", "goto": "adults"}]],
    )
    value: Any = Field(default=None, description="What routes with `is` are compared with")
    default: Text | None = Field(
        default=None, min_length=1, max_length=200, description="The step that follows if no route fits"
    )

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [route.called for route in self.routes]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"has two routes named {twice[:40]!r}; give one of them another name")
        if "value" not in self.model_fields_set and any("is_" in route.model_fields_set for route in self.routes):
            raise ValueError("has routes with `is`, and no `value` that is compared with them")
        return self


class SwitchOutput(Output):
    route: str | None = Field(description="The name of the route that was taken; null if none fitted")
    goto: str | None = Field(description="The step that follows; null if none fitted and there is no default")


class Switch(Action[SwitchConfig]):
    """A step that a route leads to needs the switch, and runs only if its route was taken; else it is skipped.

    Which steps those are is worked out when the definition is published (workflows.definitions.routes).
    """

    name: ClassVar[str] = "switch"
    summary: ClassVar[str] = "Choose one of several named routes"
    description: ClassVar[str] = (
        "The routes are tried in order, and the first that fits is taken: `when` is an expression that must be true, "
        "`is` the value, or a list of values, that `value` must have. The steps of the other routes are skipped, and "
        "so is what needs only them; a step behind several routes takes `join: none_failed`. If no route fits, "
        "`default` follows, and without it all routes are skipped."
    )
    output: ClassVar[str] = '{"route": the name of the route that was taken, "goto": the step it leads to}'
    output_class: ClassVar[type[Output] | None] = SwitchOutput
    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="By a value",
            config={
                "value": "{{ input.country }}",
                "routes": [{"is": ["DE", "AT"], "goto": "in_german", "name": "german"}],
                "default": "in_english",
            },
            input={"country": "AT"},
            output={"route": "german", "goto": "in_german"},
            steps=(
                {"id": "in_german", "action": "default", "needs": ["example"]},
                {"id": "in_english", "action": "default", "needs": ["example"]},
            ),
        ),
    )
    pure: ClassVar[bool] = True
    retry: ClassVar[Retry] = ONCE
    raw: ClassVar[frozenset[str]] = frozenset({"routes", "default"})
    own_input: ClassVar[bool] = False
    config_class: ClassVar[type[Config]] = SwitchConfig

    def perform(self, config: SwitchConfig, context: Context) -> Json:
        with expressions.shared():
            for at, route in enumerate(config.routes):
                if _fits(route, config.value, context.names, place=f"routes[{at}]"):
                    return {"route": route.called, "goto": route.goto}
        return {"route": "default" if config.default is not None else None, "goto": config.default}


def _fits(route: Route, value: Any, names: Mapping[str, Json], *, place: str) -> bool:
    if "is_" in route.model_fields_set:
        wanted: Sequence[Any] = route.is_ if isinstance(route.is_, list) else [route.is_]
        return any((type(one) is not bool is not type(value) and same(value, one)) or one is value for one in wanted)
    if not isinstance(route.when, str):
        return expressions.truthy(route.when)
    try:
        return expressions.truthy(expressions.evaluate(route.when, names))
    except ExpressionError as error:
        message = f"switch: {place}, {route.called!r}: {error}"
        raise Permanent(message, kind=error.kind, details=error.details) from None


def _equal(one: Any, value: Any) -> bool:
    # To Python, true and 1 are equal.
    return one is value if isinstance(one, bool) or isinstance(value, bool) else same(one, value)
