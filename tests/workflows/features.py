"""What each example workflow is made of, by the plan's names.

The nodes and values that its feature is known by.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...devtools.examples import PUBLISHED

SAMPLER = "SamplerCustomAdvanced"
CONTROL = "ControlNetApplyAdvanced"
TEXT = "CLIPTextEncode"
ENLARGED = "AstriaSuperResolution"
KEPT, CANVAS, BACK = "AstriaMaskedComposite", "AstriaOutpaintCanvas", "AstriaOutpaintComposite"


def node(
    kind: str, /, *said: str, **inputs: object
) -> tuple[str, tuple[str, ...], Mapping[str, object]]:
    """Return a node of this class, with these words in its text and these inputs."""
    return kind, said, inputs


# Each documented feature of the service. Nodes that lead to no output are not in a workflow.
FEATURES = {
    "color_grading": {"color_grading.grade": node("AstriaColorGrading", look="Film Velvia")},
    "controlnet": {
        "base.canny": node("Canny", image=["base.fit", 0]),
        "base.control_canny": node(CONTROL, image=["base.canny", 0], strength=0.9, end_percent=0.8),
        "base.latent": node("EmptyLatentImage"),
    },
    "controlnet_depth": {
        "base.depth_map": node("AstriaDepthMap"),
        "models.depth_mode": node("AstriaControlNetMode", kind="depth"),
        "base.control_depth": node(CONTROL, image=["base.depth_map", 0], strength=0.7),
        "base.encode": node("VAEEncode"),
    },
    "controlnet_drawn_map": {
        "input.control_image": node("LoadImage"),
        "models.controlnet_lineart": node("ControlNetLoader"),
        "base.control_lineart": node(CONTROL, image=["base.fit_control", 0], strength=0.8),
    },
    "controlnet_hed": {
        "input.control_image": node("LoadImage"),
        "base.control_hed": node(CONTROL, image=["base.fit_control", 0], strength=0.8),
    },
    "controlnet_mlsd": {
        "input.control_image": node("LoadImage"),
        "base.control_mlsd": node(CONTROL, image=["base.fit_control", 0], strength=1.0),
    },
    "controlnet_qr": {
        "base.control_qr": node(CONTROL, image=["base.fit", 0], strength=1.0),
        "base.latent": node("EmptyLatentImage"),
    },
    "controlnet_segroom": {
        "input.control_image": node("LoadImage"),
        "base.control_segroom": node(CONTROL, image=["base.fit_control", 0], strength=0.9),
    },
    "controlnet_tile": {
        "base.control_tile": node(CONTROL, image=["base.fit", 0], strength=0.8),
        "base.encode": node("VAEEncode", pixels=["base.fit", 0]),
        "base.sigmas": node("BasicScheduler", denoise=0.6),
    },
    "controlnet_two": {
        "base.control_pose": node(
            CONTROL, image=["base.pose_map", 0], strength=1.0, end_percent=0.8
        ),
        "base.control_depth": node(
            CONTROL,
            image=["base.depth_map", 0],
            strength=0.6,
            end_percent=0.8,
            positive=["base.control_pose", 0],
        ),
    },
    "face_inpainting": {
        "base.lora_1": node("AstriaLoadLora", lora_name="my_person.safetensors"),
        "super_resolution.upscale": node(ENLARGED, factor=4.0),
        "inpaint_faces.faces": node(
            "AstriaInpaintFaces", image=["super_resolution.upscale", 0], model=["base.lora_1", 0]
        ),
    },
    "faceid": {
        "base.faceid_1": node("AstriaApplyFaceID", strength=1.0),
        "base.guider": node("CFGGuider", cfg=3.0, model=["base.faceid_1", 0]),
    },
    "faceid_flux": {
        "models.faceid": node("AstriaLoadFaceID", faceid_name="pulid_flux_v0.9.1.safetensors"),
        "base.faceid_1": node("AstriaApplyFaceID"),
    },
    "faceid_flux_swap_correct": {
        "base.faceid_1": node("AstriaApplyFaceID"),
        "face_swap.swap": node("AstriaSwapFaces"),
        "face_correct.restore": node("AstriaRestoreFaces", image=["face_swap.swap", 0]),
    },
    "faceid_flux_two_people": {
        "base.person_1_faceid_1": node(
            "AstriaPersonFaceID", strength=1.0, identity=["models.identity_1", 0]
        ),
        "base.person_2_faceid_1": node(
            "AstriaPersonFaceID", strength=0.9, identity=["models.identity_2", 0]
        ),
        "base.regional": node("AstriaRegionalPrompt"),
    },
    "faceid_portrait": {
        "models.faceid_portrait": node(
            "AstriaLoadFaceID", kind="portrait", faceid_name="ip-adapter-faceid-portrait_sd15.bin"
        ),
        "base.faceid_1": node("AstriaApplyFaceID", faceid=["models.faceid_portrait", 0]),
        "base.latent": node("EmptyLatentImage", width=448, height=576),
    },
    "faceid_sdxl": {
        "models.faceid": node("AstriaLoadFaceID", faceid_name="ip-adapter-faceid_sdxl.bin"),
        "base.faceid_1": node("AstriaApplyFaceID", strength=0.9),
        "base.guider": node("CFGGuider", cfg=3.0),
        "inpaint_faces.faces": node(
            "AstriaInpaintFaces", face_size=1024, model=["base.faceid_1", 0]
        ),
    },
    "faceid_swap_correct": {
        "base.faceid_1": node("AstriaApplyFaceID"),
        "face_swap.swap": node("AstriaSwapFaces"),
        "face_correct.restore": node("AstriaRestoreFaces", image=["face_swap.swap", 0]),
    },
    "faceid_two_people": {
        "base.person_1_faceid_1": node(
            "AstriaPersonFaceID", strength=1.0, identity=["models.identity_1", 0]
        ),
        "base.person_2_faceid_1": node(
            "AstriaPersonFaceID", strength=0.9, identity=["models.identity_2", 0]
        ),
        "inpaint_faces.faces": node("AstriaInpaintFaces", persons=["base.person_2", 0]),
    },
    "film_grain": {"film_grain.grain": node("AstriaFilmGrain")},
    "hires_fix": {
        "base.positive": node(TEXT, "(weathered face:1.2)"),
        "hires_fix.upscale": node(ENLARGED, factor=2.0),
        "hires_fix.sampler": node(SAMPLER, latent_image=["hires_fix.encode", 0]),
        "hires_fix.sigmas": node("BasicScheduler", denoise=0.35),
    },
    "image_to_image": {
        "base.encode": node("VAEEncode", pixels=["base.repeat", 0]),
        "base.repeat": node("RepeatImageBatch", amount=2),
        "base.sigmas": node("BasicScheduler", denoise=0.6),
        "base.negative": node(TEXT, "photograph, blurry"),
    },
    "masked_area": {
        "input.mask": node("LoadImageMask"),
        "base.adjust_mask": node("AstriaAdjustMask", dilate="2%"),
        "base.keep_unmasked": node(KEPT, mask=["base.adjust_mask", 0]),
    },
    "masked_portrait": {
        "base.mask": node(
            "AstriaPromptMask",
            mask_prompt="foreground",
            mask_negative="clothes",
            mask_invert=True,
            mask_dilate="-20",
        ),
        "base.control_pose": node(CONTROL, image=["base.pose_map", 0]),
        "base.keep_unmasked": node(KEPT, mask=["base.mask", 0]),
        "hires_fix.sigmas": node("BasicScheduler", denoise=0.2),
        "face_correct.restore": node("AstriaRestoreFaces"),
    },
    "multi_person": {
        "base.person_1_lora_1": node("AstriaPersonLora", lora_name="my_person.safetensors"),
        "base.person_2_lora_1": node("AstriaPersonLora", lora_name="second_person.safetensors"),
        "base.person_1_positive": node(TEXT, "bright red lipstick"),
        "base.person_2_positive": node(TEXT, "grey fedora hat"),
    },
    "multi_person_background": {
        "base.find_people": node("AstriaFindPeople", image=["base.fit", 0]),
        "base.keep_unmasked": node(KEPT, mask=["base.repeat_mask", 0]),
        "hires_fix.keep_unmasked": node(KEPT, mask=["hires_fix.mask", 0]),
        "inpaint_faces.faces": node("AstriaInpaintFaces", persons=["base.person_2", 0]),
        "face_swap.swap": node("AstriaSwapFaces", image=["inpaint_faces.faces", 0]),
    },
    "multi_person_checkpoint": {
        "models.person_checkpoint_1": node(
            "CheckpointLoaderSimple", ckpt_name="my_person_checkpoint.safetensors"
        ),
        "base.person_1": node("AstriaPerson", model=["models.person_checkpoint_1", 0]),
        "base.person_2": node("AstriaPerson", loras=["base.person_2_lora_1", 0]),
        "base.person_2_positive": node(TEXT, "grey pullover", "sharp focus"),
    },
    "multi_person_negative": {
        "base.negative": node(TEXT, "embedding:EasyNegative.safetensors", "blurry, text"),
        "base.person_1_negative": node(TEXT, "long hair, hat"),
        "base.person_2_negative": node(TEXT, "beard, glasses"),
        "base.person_1": node("AstriaPerson", negative=["base.person_1_negative", 0]),
        "base.person_2": node("AstriaPerson", negative=["base.person_2_negative", 0]),
    },
    "multi_person_pose": {
        "base.control_pose": node(CONTROL, image=["base.pose_map", 0], strength=0.8),
        "base.find_people": node("AstriaFindPeople"),
        "base.regional": node("AstriaRegionalPrompt"),
    },
    "only_upscale": {"super_resolution.upscale": node(ENLARGED, factor=4.0)},
    "outpaint_only": {
        "models.outpaint_model": node("UNETLoader", unet_name="flux1-fill-dev.safetensors"),
        "outpaint.canvas": node(CANVAS, anchor="top-center", width=864, height=1296),
        "outpaint.composite": node(BACK),
        "super_resolution.upscale": node(ENLARGED, image=["outpaint.composite", 0]),
    },
    "outpaint_sd15": {
        "outpaint.canvas": node(CANVAS, anchor="bottom-center", width=768, height=768),
        "outpaint.noise_mask": node("SetLatentNoiseMask", mask=["outpaint.canvas", 1]),
        "outpaint.composite": node(BACK),
    },
    "outpaint_sdxl": {
        "outpaint.canvas": node(
            CANVAS, image=["base.decode", 0], anchor="right-center", width=1536, height=1024
        ),
        "outpaint.positive": node(TEXT, "workshop full of hanging violins"),
        "outpaint.guider": node("CFGGuider", cfg=6.0),
        "outpaint.composite": node(BACK),
    },
    "outpaint_second_person": {
        "outpaint.canvas": node(
            CANVAS, image=["base.decode", 0], anchor="left-center", width=1792, height=1024
        ),
        "outpaint.positive": node(TEXT, "an old farmer in the middle of the field"),
        "base.lora_1": node("AstriaLoadLora"),
    },
    "outpaint_text_to_image": {
        "outpaint.canvas": node(
            CANVAS, image=["base.decode", 0], anchor="top-center", width=1792, height=1024
        ),
        "outpaint.positive": node(TEXT, "fields"),
        "base.positive": node(TEXT, "cozy peach sweater"),
    },
    "product_background": {
        "base.mask": node(
            "AstriaPromptMask", mask_prompt="foreground", mask_invert=True, mask_dilate="-1%"
        ),
        "base.keep_unmasked": node(KEPT, mask=["base.mask", 0]),
    },
    "remove_background": {"remove_background.remove": node("AstriaRemoveBackground")},
    "room_redesign": {
        "base.mask": node("AstriaPromptMask", mask_prompt="windows door", mask_invert=True),
        "base.keep_unmasked": node(KEPT, mask=["base.mask", 0]),
        "base.control_canny": node(CONTROL, image=["base.canny", 0], strength=0.6),
    },
    "sdxl_weights_and_style": {
        "base.positive": node(
            TEXT,
            "professional photograph, portrait of a clockmaker",
            "(brass gears:1.2)",
            "(clutter:0.9091)",
        ),
        "base.negative": node(TEXT, "blurry, text", "plastic skin"),
        "base.latent": node("EmptyLatentImage", width=896, height=1152, batch_size=2),
        "base.method": node("AstriaSampler", sampler_name="dpmpp_2m"),
        "base.sigmas": node("BasicScheduler", scheduler="karras"),
    },
    "start_face_inpainting": {
        "generate.astria": node("AstriaGenerate", upscale_model=["models.upscaler", 0]),
        "models.bindings": node("AstriaModels", face_analysis=["models.face_analysis", 0]),
    },
    "start_faceid": {
        "generate.astria": node("AstriaGenerate"),
        "models.faceid": node("AstriaLoadFaceID", clip_vision=["models.clip_vision", 0]),
        "models.bindings": node("AstriaModels", faceid=["models.faceid", 0]),
    },
    "start_flux": {
        "generate.astria": node("AstriaGenerate"),
        "models.bindings": node("AstriaModels"),
        "models.text_encoders": node("DualCLIPLoader"),
    },
    "start_masked_portrait": {
        "generate.astria": node("AstriaGenerate", image=["input.image", 0]),
        "models.bindings": node("AstriaModels", segmenter=["models.segmenter", 0]),
    },
    "start_multi_person": {
        "generate.people": node("AstriaRegions", persons=2),
        "generate.astria": node("AstriaGenerate", person_masks=["generate.people", 1]),
    },
    "start_outpaint": {
        "generate.astria": node("AstriaGenerate", image=["input.image", 0]),
    },
    "start_stable_diffusion": {
        "generate.astria": node("AstriaGenerate"),
        "models.bindings": node("AstriaModels"),
        "models.checkpoint": node("CheckpointLoaderSimple"),
    },
    **{
        f"start_{of.name}": {
            "generate.astria": node("AstriaGenerate"),
            "models.text_encoders": node(of.text.loader, type=of.text.type),
        }
        for of in PUBLISHED
    },
    "start_tune_from_photos": {"tune.create": node("AstriaCreateTune")},
    "style": {
        "base.positive": node(
            TEXT,
            "a still from a feature film, a fox crossing a frozen river in dramatic motivated"
            " light",
        ),
        "base.negative": node(TEXT, "cartoon, drawing"),
    },
    "tiled_upscale": {
        "hires_fix.tiles": node("AstriaTiledDiffusion", tile_size=512),
        "hires_fix.control_tile": node(CONTROL, image=["hires_fix.fit", 0], strength=0.7),
        "hires_fix.guider": node("CFGGuider", cfg=5.0, model=["hires_fix.tiles", 0]),
        "hires_fix.sigmas": node("BasicScheduler", denoise=0.35),
    },
    "tiled_upscale_from_text": {
        "hires_fix.tiles": node("AstriaTiledDiffusion", tile_size=512),
        "hires_fix.guider": node("CFGGuider", cfg=7.0, model=["hires_fix.tiles", 0]),
        "hires_fix.sigmas": node("BasicScheduler", denoise=0.3),
        "output.save": node("SaveImage", images=["hires_fix.restore_size", 0]),
    },
    "train_person": {
        "training.photos": node("AstriaTunePhotos", tune="788416", sizes="512"),
        "training.lora": node("AstriaTrainLora", preset="sd15", person_agreed=False),
        "output.tune": node("AstriaSaveTune", lora=["training.lora", 0], tune_id=788416),
    },
    "train_person_flux": {
        "training.photos": node("AstriaTunePhotos", face_crop=True, sizes="512, 768"),
        "training.positive_guidance": node("FluxGuidance", guidance=1.0),
        "training.lora": node("AstriaTrainLora", preset="flux-lora-portrait", steps=324),
        "output.tune": node("AstriaSaveTune", training=["training.lora", 1]),
    },
    "upscale_v4": {
        "base.positive": node(TEXT, r"\(Magnolia grandiflora\)"),
        "super_resolution.upscale": node(ENLARGED, image=["base.decode", 0], factor=4.0),
    },
}
FEATURES |= {
    f"multi_person_{of.name}": {
        "models.diffusion_model": node("UNETLoader", unet_name=of.files[0].name),
        "models.text_encoders": node(of.text.loader, type=of.text.type),
        "base.latent": node(of.latent.empty, batch_size=1),
        "base.sigmas": node("BasicScheduler", steps=of.steps, scheduler=of.schedule),
    }
    for of in PUBLISHED
}
# What a feature is known by not having: a first sampling, the input image under the noise, a
# ControlNet that it does without.
WITHOUT = {
    "controlnet": "base.encode",
    "controlnet_qr": "base.encode",
    "multi_person": "base.pose",
    "multi_person_background": "base.pose",
    "multi_person_pose": "base.encode",
    "only_upscale": "base.sampler",
    "outpaint_only": "base.sampler",
    "outpaint_sd15": "base.sampler",
    "tiled_upscale": "base.sampler",
    "tiled_upscale_from_text": "hires_fix.control_tile",
}
