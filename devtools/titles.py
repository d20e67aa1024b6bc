"""What the template browser calls the example workflows.

It shows nothing of a pack's template but its file's name and a picture of that name: so the name is
the title, its first word the group, and the sentence stands in the picture and in the note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Title:
    """What a template is called, in which group, and what it gives in a sentence."""

    group: str
    words: str
    sentence: str

    @property
    def file(self) -> str:
        """The name of its files, which the browser shows."""
        return f"{self.group} - {self.words}"


# In the order of the alphabet, which is that of the browser where it sorts: starters come first.
_GROUPS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Begin": {
        "start_flux": (
            "Any prompt, Flux",
            "Paste a prompt into one node and press Run.",
        ),
        "start_stable_diffusion": (
            "Any prompt, SD1.5 or SDXL",
            "Paste a prompt into one node and press Run.",
        ),
        "start_zimage_turbo": (
            "Any prompt, Z-Image Turbo",
            "Paste a prompt into one node and press Run.",
        ),
        "start_krea2_turbo": (
            "Any prompt, Krea 2 Turbo",
            "Paste a prompt into one node and press Run.",
        ),
        "start_flux2": (
            "Any prompt, Flux.2 dev",
            "Paste a prompt into one node and press Run.",
        ),
        "start_flux2_klein_4b": (
            "Any prompt, Flux.2 klein 4B",
            "Paste a prompt into one node and press Run.",
        ),
        "start_flux2_klein_9b": (
            "Any prompt, Flux.2 klein 9B",
            "Paste a prompt into one node and press Run.",
        ),
        "start_multi_person": (
            "Two people, placed by mouse",
            "Drag each to their place; both are drawn in one pass.",
        ),
        "start_faceid": (
            "A face from photos",
            "Somebody's face in a new picture, without training.",
        ),
        "start_masked_portrait": (
            "A part of a photo, by words",
            "Say what to repaint, see it marked, then run.",
        ),
        "start_outpaint": (
            "A photo made larger",
            "New surroundings; the photo's own pixels stay.",
        ),
        "start_face_inpainting": (
            "Small faces, sharp",
            "Four times the size, and each face drawn again.",
        ),
        "start_tune_from_photos": (
            "Keep photos as a person",
            "Photos become an id to write into prompts.",
        ),
    },
    "Control": {
        "controlnet": ("By edges", "The edges of a picture lead a new one."),
        "controlnet_depth": ("By depth", "What is near and far in a picture leads a new one."),
        "controlnet_two": (
            "By pose and depth",
            "Two ControlNets at once, for a part of the steps.",
        ),
        "controlnet_tile": (
            "By its own forms",
            "A picture repainted, its colours and forms being the map.",
        ),
        "controlnet_qr": ("By a QR code", "A landscape in which a QR code can be read."),
        "controlnet_drawn_map": (
            "By line art of your own",
            "A drawing of yours becomes a watercolour.",
        ),
        "controlnet_hed": ("By soft edges", "A map of soft edges becomes a photograph."),
        "controlnet_mlsd": ("By straight lines", "A map of straight lines becomes a house."),
        "controlnet_segroom": (
            "By areas of a room",
            "Areas in the colours of their kinds become a room.",
        ),
    },
    "Edit": {
        "image_to_image": (
            "A photo as a painting",
            "A picture painted over, as far as you let it.",
        ),
        "masked_area": ("Where your mask says", "Only what you masked is painted anew."),
        "masked_portrait": (
            "Same face, other clothes and place",
            "A face kept to the pixel, all around it new.",
        ),
        "product_background": (
            "A product on a new ground",
            "The product is found by itself and stays.",
        ),
        "room_redesign": ("A room in a new style", "Windows and door stay where they are."),
    },
    "Extend": {
        "outpaint_only": ("A photo upwards", "A photo grows, and nothing else of it changes."),
        "outpaint_sd15": (
            "A photo upwards and sidewards, SD1.5",
            "A photo extended by the checkpoint itself.",
        ),
        "outpaint_text_to_image": (
            "A portrait and its landscape",
            "A picture from text, then what lies around it.",
        ),
        "outpaint_second_person": (
            "A second person beside the first",
            "A portrait, then somebody else in the new space.",
        ),
        "outpaint_sdxl": (
            "A portrait and its workshop, SDXL",
            "A picture from text, then what lies around it.",
        ),
    },
    "Faces": {
        "face_inpainting": (
            "Small ones drawn again",
            "Four times the size, and each face at full detail.",
        ),
        "faceid": ("From photos, SD1.5", "Somebody's face in a new picture, without training."),
        "faceid_flux": ("From photos, Flux", "Somebody's face in a new picture, without training."),
        "faceid_portrait": (
            "From photos, studio portrait",
            "The adapter for portraits holds the face closer.",
        ),
        "faceid_sdxl": (
            "From photos, full figure, SDXL",
            "A whole person, the face then drawn again.",
        ),
        "faceid_two_people": (
            "From photos, two friends, SD1.5",
            "Two people, each with the face of their photos.",
        ),
        "faceid_flux_two_people": (
            "From photos, two friends, Flux",
            "Two people, each with the face of their photos.",
        ),
        "faceid_swap_correct": (
            "Swapped and corrected, SD1.5",
            "The face is put on again at full size, then restored.",
        ),
        "faceid_flux_swap_correct": (
            "Swapped and corrected, Flux",
            "The face is put on again at full size, then restored.",
        ),
    },
    "Finish": {
        "color_grading": ("Colours of a film", "A look over the finished picture."),
        "film_grain": ("Film grain", "Grain over the finished picture."),
        "hires_fix": (
            "Twice the size, hires fix",
            "A second pass draws details at twice the size.",
        ),
        "only_upscale": ("A photo, four times the size", "A photo enlarged as it is."),
        "remove_background": ("Without background", "The thing alone, on a transparent ground."),
        "tiled_upscale": (
            "A photo with new detail, tile by tile",
            "A photo enlarged, with detail that it did not have.",
        ),
        "tiled_upscale_from_text": (
            "An old town, tile by tile",
            "A picture from text, then painted at twice its size.",
        ),
        "upscale_v4": (
            "A botanical plate, four times the size",
            "A picture from text, enlarged; brackets are plain text.",
        ),
    },
    "People": {
        "multi_person": ("A film noir couple, Flux", "Two people, each with a LoRA of their own."),
        "multi_person_pose": (
            "Two dancers in the pose of a photo",
            "Two people stand as those of a photo do.",
        ),
        "multi_person_background": (
            "Others in a photo, the rest kept",
            "The people of a photo replaced, its background kept.",
        ),
        "multi_person_checkpoint": (
            "Two colleagues, a checkpoint and a LoRA",
            "One person is a whole checkpoint, one a LoRA.",
        ),
        "multi_person_negative": (
            "Two players, a negative prompt each",
            "What each person must not have, said for each.",
        ),
        "multi_person_zimage_turbo": (
            "A night market, Z-Image Turbo",
            "Two people, each with a LoRA of their own.",
        ),
        "multi_person_krea2_turbo": (
            "A game of chess, Krea 2 Turbo",
            "Two people, a LoRA each, then twice the size.",
        ),
        "multi_person_flux2": (
            "Two musicians, Flux.2",
            "Two people, each with a LoRA of their own.",
        ),
        "multi_person_flux2_klein_4b": (
            "Two mountaineers, Flux.2 klein 4B",
            "Two people, each with a LoRA of their own.",
        ),
        "multi_person_flux2_klein_9b": (
            "Two gardeners, Flux.2 klein 9B",
            "Two people, each with a LoRA of their own.",
        ),
    },
    "Style": {
        "style": ("A look around a short prompt", "A few words, in the look of a film."),
        "sdxl_weights_and_style": (
            "Weights, a format and a scheduler, SDXL",
            "What counts more and less, in the look of a photograph.",
        ),
    },
    "Train": {
        "train_person": ("A person, SD1.5", "Photos become a LoRA, with the fewest nodes."),
        "train_person_flux": (
            "A person, Flux",
            "Photos become a LoRA: crops, masks, samples on the way.",
        ),
    },
}
TITLES: Mapping[str, Title] = {
    name: Title(group, *told)
    for group, members in _GROUPS.items()
    for name, told in members.items()
}
