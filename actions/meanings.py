"""What people call an action elsewhere, and the action that does it here. For hints in messages only: no alias."""

from __future__ import annotations

import re

_WORDS = {
    "notify": "sms slack teams discord telegram twilio message log print echo alert",
    "email": "email mail gmail smtp sendgrid mailgun outlook imap sendmail",
    "wait": "delay pause timer hold",
    "http_request": "http https request fetch get post put patch delete api rest graphql curl wget url respond",
    "condition": "if branch when else decision",
    "state_get": "storage recall staticdata",
    "state_increment": "counter increment",
    "state_set": "store remember",
    "switch": "choice case router route gateway",
    "transform": "set edit assign map mapper mapping rename format jq convert select pick json",
    "aggregate": "summarize summarise summary group groupby reduce statistics",
    "dedupe": "deduplicate duplicates removeduplicates distinct unique",
    "filter": "where grep reject",
    "merge": "combine union concat concatenate zip lookup",
    "set_labels": "label labels tag tags",
    "sort": "order orderby arrange",
    "split": "splitout unwind explode unnest itemlists",
    "approval": "approve human manual review usertask confirm",
    "wait_for_signal": "signal event callback await receive listen",
    "sub_workflow": "subflow subworkflow child call executeworkflow runworkflow workflow pipeline",
    "fail": "error throw raise abort stop panic",
    "default": "pass nop start begin end finish succeed success nothing empty identity",
}
_ACTIONS = {word: action for action, words in _WORDS.items() for word in words.split()}
# What no action does, and what does it.
_OTHERWISE = {
    "write `for_each` in the step that is to be repeated": "foreach loop each iterate splitinbatches batch parallelfor",
    "steps that need the same step run side by side": "parallel fork split fanout concurrent",
    "let the step `need` all that come before it, with a `join`": "join gather barrier fanin",
    "write an action of your own: see docs/writing-an-action.md": (
        "code script python javascript js bash shell sh command run exec function lambda node task docker container sql"
    ),
    "runs are started through the API, by a command or in the admin": "schedule cron trigger manualtrigger",
}
_HINTS = {word: hint for hint, words in _OTHERWISE.items() for word in words.split()}
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")


def meant(name: str) -> str:
    """Return `; for this use 'x'` for a name such as `sendEmail` or `n8n-nodes-base.httpRequest`, else nothing."""
    last = name[:100].rpartition(".")[2].rpartition("/")[2]
    parts = [part.lower() for part in _PARTS.findall(last)]
    for word in ["".join(parts), *reversed(parts)]:
        if word in _ACTIONS:
            return f"; for this use {_ACTIONS[word]!r}"
        if word in _HINTS:
            return f"; {_HINTS[word]}"
    return ""
