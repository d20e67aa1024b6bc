"""The branches of models, as the service calls them."""

from __future__ import annotations

# The service's word -> the family of the bindings.
BRANCHES = {"sd15": "sd15", "sdxl1": "sdxl", "flux1": "flux"}
