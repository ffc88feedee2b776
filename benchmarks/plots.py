"""Draw results as SVG, without scripts, fonts or links to other hosts; readable on light and dark backgrounds."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pygal
from pygal.style import Style

# pygal installs an old-style importer for its plugins, of which we have none; Python warns of it at every import.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "PluginImportFixer"]

_COLOURS = ("#2f7ed8", "#e08a1e", "#3a9d5d", "#c0504d", "#8e6bbf", "#7f7f7f")
_STYLE = Style(
    background="transparent",
    plot_background="transparent",
    font_family="system-ui, sans-serif",
    value_font_size=11,
    value_colors=("#222222",) * len(_COLOURS),
    colors=_COLOURS,
    guide_stroke_color="#b8b8b8",
    major_guide_stroke_color="#b8b8b8",
    transition="0s",
)
_DARK = """<style>@media (prefers-color-scheme: dark) {
svg text, svg .title { fill: #e6e6e6 !important }
svg .axis .line, svg .axis .guide.line { stroke: #6a6a6a !important }
}</style>"""
# pygal's comment with its version and the date, and the settings of a script that is left out.
_LEFT_OUT = re.compile(r"<!--.*?-->|<script.*?</script>", re.DOTALL)

Series = Mapping[str, Sequence[float | None]]


def bars(title: str, values: Mapping[str, float], *, unit: str) -> str:
    """Draw one bar for each name, on a logarithmic scale."""
    chart = pygal.HorizontalBar(**_options(title, height=110 + 44 * len(values)), logarithmic=True, show_legend=False)
    chart.x_title = f"{unit} (logarithmic)"
    chart.print_values = True
    chart.formatter = _short
    # Reversed, because pygal draws horizontal bars from the bottom.
    chart.x_labels = list(values)[::-1]
    _decades(chart, values.values())
    chart.add(unit, list(values.values())[::-1])
    return _drawn(chart, title)


def stacked(title: str, names: Sequence[str], series: Series, *, unit: str) -> str:
    """Draw a stacked bar for each name, with one piece per series."""
    chart = pygal.HorizontalStackedBar(**_options(title, height=150 + 44 * len(names)))
    chart.x_title = unit
    chart.formatter = _short
    chart.x_labels = [*reversed(names)]
    for name, values in series.items():
        chart.add(name, [*reversed(values)])
    return _drawn(chart, title)


def lines(
    title: str, labels: Sequence[str], series: Series, *, axes: tuple[str, str], logarithmic: bool = False
) -> str:
    """Draw a line for each series over the same labels; `axes` are the titles of x and y."""
    chart = pygal.Line(**_options(title, height=380), logarithmic=logarithmic)
    chart.x_title, chart.y_title = axes
    chart.formatter = _short
    chart.x_labels = list(labels)
    if logarithmic:
        _decades(chart, [value for values in series.values() for value in values if value])
    for name, values in series.items():
        chart.add(name, list(values))
    return _drawn(chart, title)


def _decades(chart: Any, values: Collection[float]) -> None:
    """Set the axis from one power of ten to another, with labels at powers of ten only."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    # If the lowest value is a power of ten, begin one power below, or its bar would have no length.
    low -= 10**low == min(values)
    chart.range, chart.zero = (10.0**low, 10.0**high), 10.0**low
    chart.y_labels = [10.0**power for power in range(low, high + 1)]


def _options(title: str, *, height: int) -> dict[str, Any]:
    return {
        "title": title,
        "style": _STYLE,
        "js": (),
        "width": 760,
        "height": height,
        "explicit_size": True,
        "disable_xml_declaration": True,
        "legend_at_bottom": True,
        "show_minor_x_labels": True,
        "truncate_legend": -1,
    }


def _short(value: float | None) -> str:
    """Return three significant digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _drawn(chart: Any, title: str) -> str:
    # A constant id, so that the same results give the same file.
    chart.uuid = re.sub(r"\W+", "-", title.lower())
    drawn = _LEFT_OUT.sub("", chart.render(is_unicode=True))
    head, end, rest = drawn.rpartition("</svg>")
    return f"{head}{_DARK}{end}{rest}\n"
