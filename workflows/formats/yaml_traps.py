"""Find what YAML reads in another way than it was meant: comments that cut texts, braces, numbers, missing quotes."""

from __future__ import annotations

import re

_COMMENT = re.compile(r"[ \t]+(#[^\r\n]{0,200})")
# A line whose value begins with `{{`: what stands before the value, and the value.
_UNQUOTED = re.compile(r"\s*(?:-\s+)*(?P<key>[^\s:#\"'{\[][^:#\"'{\[]*:)?\s*(?P<value>\{\{.*\}\}[^\r\n]*?)\s*$")
_INNER_QUOTES = re.compile(r":\s*\"[^\"]*\{\{[^}\"]*\"")
_SPECIAL = re.compile(r":\s+([@`%])")
_LOSES_DIGITS = re.compile(r"-?\d+\.\d+0")
# So many warnings are given at most for one text.
MOST_WARNINGS = 20


def comment_after(text: str, end: int) -> str | None:
    """Return the comment behind an unquoted value that ends here, if it may be meant as a part of the value."""
    found = _COMMENT.match(text, end)
    if found is None:
        return None
    comment = found[1].rstrip()
    return comment if "{{" in comment or comment[1:2] not in ("", " ", "\t", "#", "!") else None


def cuts_an_expression(comment: str) -> bool:
    """Whether a comment is certainly meant as a part of the value: `#` directly before an expression."""
    return comment.startswith("#{{")


def loses_something(text: str) -> bool:
    """Whether an unquoted number is written in a way that the number does not keep: `+49`, `1.10`."""
    return text.startswith("+") or (text.endswith("0") and _LOSES_DIGITS.fullmatch(text) is not None)


def quote_hint(line: str) -> str:
    """Return `; quote ...` for a line that YAML cannot read as it was probably meant, or an empty text."""
    line = line[:500]
    if (found := _UNQUOTED.fullmatch(line)) is not None:
        key = f"{found['key'].strip()} " if found["key"] else ""
        return f"; quote what has an expression: {key}{_quoted(found['value'])}"
    if _INNER_QUOTES.search(line):
        return "; inside \"double quotes\" write 'single' ones: \"{{ input['a'] }}\""
    if (special := _SPECIAL.search(line)) is not None:
        return f"; quote a text that begins with {special[1]}"
    if "{{" in line:
        return '; quote what has an expression: "{{ ... }}"'
    return "; quote a text that has `: ` in it" if line.count(": ") > 1 and '"' not in line else ""


def _quoted(value: str) -> str:
    if '"' not in value:
        return f'"{value}"'
    return f"'{value}'" if "'" not in value else f'"{value.replace(chr(34), chr(39))}"'
