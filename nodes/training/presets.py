"""How a person is trained by default: a preset for each family, and those that the service names.

The numbers are proposals from published trainers (`Preset.source`); nothing here has been tried on
real weights yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..families.family import FAMILIES
from .errors import TrainingError

MIN_STEPS, MAX_STEPS = 1, 10_000
# Of each picture the longer or shorter sides may differ; its area is about the square of a size.
SIZE_MULTIPLE = 64
MIN_SIZE_PX, MAX_SIZE_PX = 64, 1536


@dataclass(frozen=True)
class Preset:
    """The numbers of a training; learning rate for AdamW, batches of one picture."""

    name: str
    branch: str  # of the base: sd15, sdxl or flux
    learning_rate: float
    steps_per_photo: int
    min_steps: int
    max_steps: int
    sizes_px: tuple[int, ...]  # every picture is learned at each of these
    face_crop: bool
    source: str
    rank: int = 16  # alpha is the rank
    caption_dropout: float = 0.05

    def steps_for(self, photos: int) -> int:
        """Return how many steps so many photos are trained for."""
        return min(max(self.steps_per_photo * photos, self.min_steps), self.max_steps)


_STABLE_DIFFUSION = (
    "learning rate 1e-4: kohya-ss/sd-scripts and diffusers' train_dreambooth_lora;"
    " rank 16: OneTrainer; 100 steps a photo: the service's SD1.5 and SDXL tunes"
)
_FLUX = (
    "27 steps a photo and at least 300: the service's Flux presets; rank 16, 512 and 768 px:"
    " ostris/ai-toolkit's Flux example; 2e-4 for a quarter of its steps"
)
_FLUX_LONG = (
    "100 steps a photo: the service's Flux tunes without a preset; learning rate 1e-4, rank 16,"
    " 512 and 768 px: ostris/ai-toolkit's Flux example"
)

PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("sd15", "sd15", 1e-4, 100, 500, 2000, (512,), False, _STABLE_DIFFUSION),
        Preset("sdxl", "sdxl", 1e-4, 100, 500, 2000, (1024,), False, _STABLE_DIFFUSION),
        Preset("flux", "flux", 1e-4, 100, 300, 2000, (512, 768), False, _FLUX_LONG),
        Preset("flux-lora-portrait", "flux", 2e-4, 27, 300, 2000, (512, 768), True, _FLUX),
        Preset("flux-lora-fast", "flux", 2e-4, 27, 300, 2000, (512,), True, _FLUX),
        Preset("flux-lora-focus", "flux", 2e-4, 27, 300, 2000, (512, 768), False, _FLUX),
    )
}
BRANCHES = tuple(dict.fromkeys(one.branch for one in FAMILIES.values() if one.is_trained))
# What the service calls them; a tune without a preset takes that of its family.
SERVICE_PRESETS = ("flux-lora-portrait", "flux-lora-fast", "flux-lora-focus")

# What is drawn while it learns, at fixed seeds, and judged for likeness where faces can be told
# apart.
SAMPLE_CAPTIONS = (
    "portrait photo of {person}, looking at the camera",
    "photo of {person} standing in a street, daylight",
    "close-up photo of {person}, soft studio light",
    "photo of {person} at a table in a cafe",
)


def preset_of(branch: str, name: str | None) -> Preset:
    """Return the preset called `name`, or the family's own for None, for bases of `branch`.

    Raises: TrainingError for an unknown name, or one of another family.
    """
    own = [one for one in PRESETS.values() if one.branch == branch]
    if not own:
        titles = ", ".join(FAMILIES[one].title for one in BRANCHES)
        title = FAMILIES[branch].title if branch in FAMILIES else branch
        raise TrainingError(
            f"{title} cannot be trained here; expected a base of {titles}.",
            code="training-model",
            hint="A LoRA that another program trained is worn like any other.",
        )
    known = ", ".join(one.name for one in own)
    hint = f"Presets of {FAMILIES[branch].title}: {known}; or leave the preset out."
    if name is None:
        return PRESETS[branch]
    if name not in PRESETS:
        raise TrainingError(f"There is no preset '{name}'.", code="training-preset", hint=hint)
    if PRESETS[name].branch != branch:
        raise TrainingError(
            f"The preset '{name}' is for {FAMILIES[PRESETS[name].branch].title}, and the base is"
            f" {FAMILIES[branch].title}.",
            code="training-preset",
            hint=hint,
        )
    return PRESETS[name]
