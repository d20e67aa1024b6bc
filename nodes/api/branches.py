"""The branches of models, as the service calls them."""

from __future__ import annotations

from ..families.family import BRANCHES as FAMILY_BRANCHES
from ..families.family import FAMILIES

# The service's word -> the family of the bindings; families that it has no word for have their own.
_SERVICE = {"sd15": "sd15", "sdxl1": "sdxl", "flux1": "flux"}
BRANCHES = {
    **_SERVICE,
    **{family: family for family in FAMILY_BRANCHES if family not in _SERVICE.values()},
}
_WORDS = {family: branch for branch, family in BRANCHES.items()}
# Family of a base -> the service's word.
BRANCH_OF_FAMILY = {name: _WORDS[one.branch] for name, one in FAMILIES.items()}
