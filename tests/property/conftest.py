"""How long the model is tried: HYPOTHESIS_PROFILE is `short` (what `make test` runs), `long`, `teeth` or `raw`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

_COMMON = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
settings.register_profile("short", _COMMON, max_examples=15)
settings.register_profile("long", _COMMON, max_examples=2000)
# For mutants: a story that fails is enough, and nobody reads it.
settings.register_profile("teeth", _COMMON, max_examples=150, phases=[Phase.generate])
# Shows the first failure as it was drawn; making it small takes up to five minutes.
settings.register_profile("raw", _COMMON, max_examples=2000, phases=[Phase.generate])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
