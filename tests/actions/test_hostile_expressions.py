"""Sources that abort, fill or hang a template engine: refused, or over at once with an error; the process lives."""

from __future__ import annotations

import json
import subprocess
import sys

# name: (what the input is, source)
HOSTILE = {
    "text repeated": "'a' * 10**9",
    "list repeated": "[1] * 10**9",
    "big range": "range(10**9)|sum",
    "range joined": "range(9999)|join('a' ~ big)",
    "big power": "9**9**9",
    "big shift": "(2**64)**64",
    "doubling by ~": "~".join(["big"] * 400),
    "doubling by +": "+".join(["big"] * 30),
    "json of json": "big" + "|tojson" * 30,
    "quotes in quotes": "['\"\\\\']" + "|string|tojson" * 15,
    "replace grows": "big" + "|replace('a', 'aaaaaaaaaaaaaaaaaaaa')" * 20,
    "indent grows": "lines|indent(10**6)",
    "format grows": "'%1000000000s'|format(1)",
    "format looks inside": "'{0.__class__}'|format(1)",
    "batch of millions": "[1]|batch(10**9, 'x')",
    "deep operators": "1" + "+1" * 3000,
    "deep nots": "not " * 1900 + "1",
    "deep minus": "-" * 3000 + "1",
    "deep brackets": "[" * 3000 + "]" * 3000,
    "deep calls": "x(" * 2000 + ")" * 2000,
    "deep filters": "big" + "|upper" * 1300,
    "deep attributes": "big" + ".a" * 3000,
    "many objects": "[" + ",".join(["input"] * 400) + "]|tojson",
    "lists in lists": "range(9999)|map('batch', 1)|map('string')|join|list|map('list')|list",
    "members of members": "range(5000)|select('in', range(5000)|list)|list|length",
    "sorted over and over": "range(9999)|list" + "|sort" * 25,
    "huge round": "1.5|round(10**9)",
    "globals": "self.__init__.__globals__",
    "class walk": "''.__class__.__mro__[1].__subclasses__()",
    "import": "cycler.__init__.__globals__.os.popen('id').read()",
    "debug": "debug()",
    "lone surrogate": "'\\ud800'",
    "format of a method": "input.get|string",
    "method by name": "[input]|map(attribute='items')|first|string",
    "step zero": "range(0, 5, 0)",
    "slice zero": "big[::0]",
    "not a number": "1e308 * 1e308",
}

PROBE = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from actions import expressions
from actions.expressions import ExpressionError
names = {"big": "a" * 500_000, "lines": "\\n" * 1000, "input": {"rows": ["a" * 1000] * 400}}
for name, source in json.load(sys.stdin).items():
    begun = time.process_time()
    refused = expressions.check_expression(source)
    try:
        answer = "gave " + json.dumps(expressions.evaluate(source, names))[:80]
    except ExpressionError:
        answer = "refused" if refused else "failed"
    print(json.dumps([name, answer, time.process_time() - begun]), flush=True)
"""


def test_hostile_sources_end_soon_and_harm_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps(HOSTILE),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (done.stderr[-2000:], told[-1:])
    assert [name for name, _, _ in told] == list(HOSTILE)
    harmless = {"members of members", "method by name", "sorted over and over", "lists in lists", "quotes in quotes"}
    assert [(name, answer) for name, answer, _ in told if answer.startswith("gave") and name not in harmless] == []
    assert "built-in" not in done.stdout
    assert [(name, took) for name, _, took in told if took > 2] == []
