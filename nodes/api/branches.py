"""The branches of models, as the service calls them."""

from __future__ import annotations

# The service's word -> the family of the bindings.
BRANCHES = {"sd15": "sd15", "sdxl1": "sdxl", "flux1": "flux"}
# Family of a base -> the service's word.
BRANCH_OF_FAMILY = {
    **{family: branch for branch, family in BRANCHES.items()},
    "flux_schnell": "flux1",
}
