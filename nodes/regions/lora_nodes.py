"""The node that puts a LoRA on a whole model and says how much of it fits."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io
from comfy_execution.utils import get_executing_context

from ..host.types import notes_ui
from .host.lora.whole import apply_whole_lora
from .lora_fit import lines_of


class AstriaLoadLora(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        strength = {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}
        return io.Schema(
            node_id="AstriaLoadLora",
            display_name="Astria Load LoRA",
            category="astria",
            description=(
                "A LoRA on the whole model and its text encoder, merged as Load LoRA does; says how"
                " many of its tensors fit."
            ),
            search_aliases=["lora", "load lora", "lora loader"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model that the LoRA was made for.",
                ),
                io.Clip.Input(
                    "clip",
                    tooltip="The text encoder that belongs to the model.",
                ),
                io.Combo.Input(
                    "lora_name",
                    options=folder_paths.get_filename_list("loras"),
                    tooltip="A file of models/loras.",
                ),
                io.Float.Input(
                    "strength_model", **strength, tooltip="0: only the text encoder is changed."
                ),
                io.Float.Input(
                    "strength_clip", **strength, tooltip="0: only the model is changed."
                ),
            ],
            outputs=[
                io.Model.Output(),
                io.Clip.Output(),
                io.String.Output(display_name="info", tooltip="How much of the file fits."),
            ],
            has_intermediate_output=True,
            hidden=[io.Hidden.dynprompt],
        )

    @classmethod
    def execute(
        cls, model, clip, lora_name: str, strength_model: float, strength_clip: float
    ) -> io.NodeOutput:
        patched, encoder, fit = apply_whole_lora(
            model, clip, lora_name, strength_model, strength_clip
        )
        lines, warnings = ([], []) if fit is None else lines_of([fit])
        if fit is not None and not fit.total and not fit.embeddings:
            idle = f"{lines[0]} {_idle(strength_model, strength_clip)}"
            is_silent = not strength_model and _is_for_words_only(cls)
            lines = warnings = [] if is_silent else [idle]
        text = "\n".join(lines)
        return io.NodeOutput(patched, encoder, text, ui=notes_ui(text, warnings=warnings))


def _idle(strength_model: float, strength_clip: float) -> str:
    off = "strength_clip" if strength_model else "strength_model"
    return (
        f"At strength_model {strength_model:g} and strength_clip {strength_clip:g} it changes"
        f" nothing: set {off} to another value than 0, or take the LoRA out."
    )


def _is_for_words_only(node: type[io.ComfyNode]) -> bool:
    """Say whether nothing takes the node's model.

    A plan puts a person's LoRA on the text encoder that way; what it does to the model is another
    node's, which reports it.
    """
    # A hidden unique_id would keep the host from sharing one result among nodes with equal inputs.
    own = get_executing_context().node_id
    graph = node.hidden.dynprompt
    calls = (graph.get_node(name) for name in graph.all_node_ids())
    given = [one for call in calls for one in call["inputs"].values()]
    return [own, 0] not in given


NODES = [AstriaLoadLora]
