"""What the action http_request gives: its fields, and examples of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from actions.base import Example, Output


class HttpOutput(Output):
    status: int = Field(description="The status of the response, such as 200")
    headers: dict[str, str] = Field(description="Its headers by their names in small letters; several values as one")
    header_values: dict[str, list[str]] = Field(description="The same, with each value by itself")
    body: Any = Field(description="Its body: JSON, a text, base64, or null if it is empty or `response` is none")
    body_type: Literal["json", "text", "base64", "none"] = Field(description="What `body` is")
    replaced: int = Field(description="How many characters of a text could not be read, and are U+FFFD")


EXAMPLES = (
    Example(
        title="Read a page of orders",
        config={"url": "https://api.example.com/orders", "query": {"state": "open"}},
        output={"status": 200, "body_type": "json", "body": {"method": "GET", "path": "/orders?state=open"}},
    ),
    Example(
        title="Send an order as JSON",
        config={
            "method": "POST",
            "url": "https://api.example.com/orders",
            "headers": {"Accept": "application/json"},
            "body": {"order": "{{ input.order }}"},
            "timeout": "10s",
        },
        input={"order": 4711},
        output={"status": 200, "body": {"method": "POST", "path": "/orders", "body": '{"order":4711}'}},
    ),
    Example(
        title="Fail where a page is not found", config={"url": "https://api.example.com/status/404"}, error="http:404"
    ),
)
