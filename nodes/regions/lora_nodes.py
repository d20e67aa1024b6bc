"""The node that puts a LoRA on a whole model and says how much of it fits."""

from __future__ import annotations

import folder_paths
from comfy_api.latest import io

from ..host.types import notes_ui
from .host.lora_whole import apply_whole_lora
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
                io.Model.Input("model"),
                io.Clip.Input("clip"),
                io.Combo.Input("lora_name", options=folder_paths.get_filename_list("loras")),
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
        )

    @classmethod
    def execute(
        cls, model, clip, lora_name: str, strength_model: float, strength_clip: float
    ) -> io.NodeOutput:
        patched, encoder, fit = apply_whole_lora(
            model, clip, lora_name, strength_model, strength_clip
        )
        # A file without anything for the text encoder says so by its part for the model.
        is_told = fit is not None and (fit.total or fit.embeddings)
        told, warnings = lines_of([fit]) if is_told else ([], [])
        text = "\n".join(told)
        return io.NodeOutput(patched, encoder, text, ui=notes_ui(text, warnings=warnings))


NODES = [AstriaLoadLora]
