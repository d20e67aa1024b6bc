"""The prompts of the service's documentation, as they are pasted."""

from __future__ import annotations

FILM_NOIR = """\
Dramatic 1940s film noir scene. Couple standing together aiming guns, wooden paneled background.
BREAK
BREAK <lora:1533312:1.0> ohwx woman with determined expression, retro updo hairstyle, bright red \
lipstick, \
black and yellow color-blocked dress, aiming revolver with right hand
BREAK <lora:1558021:1.0> ohwx man with serious face, grey fedora hat, brown suit with patterned \
tie, white shirt, aiming pistol with left hand
num_images=4
negative_prompt=
seed=
steps=
cfg_scale=
controlnet=
input_image_url=
mask_image_url=
denoising_strength=
controlnet_conditioning_scale=
controlnet_txt2img=false
super_resolution=false
inpaint_faces=false
face_correct=false
film_grain=false
face_swap=false
hires_fix=false
backend_version=1
ar=1:1
scheduler=euler_a
color_grading=
use_lpw=false
w=1024
h=576
"""

KEPT_BACKGROUND = """\
BREAK\x20
BREAK ohwx woman, red blouse jeans, and belt, holding a rifle <lora:749152:1>
BREAK ohwx man, dark vest <lora:749183:1>
num_images=4
negative_prompt=
seed=43
steps=30
cfg_scale=
controlnet=
input_image_url=https://sdbooth2-production.s3.amazonaws.com/4j0pej570oosmbj22xx6igf3gfi2
mask_image_url=
denoising_strength=
controlnet_conditioning_scale=
controlnet_txt2img=false
super_resolution=true
inpaint_faces=true
face_correct=false
film_grain=false
face_swap=true
hires_fix=true
ar=1:1
scheduler=dpm++sde_karras
color_grading=
use_lpw=true
w=
h=
"""

MASKED = """\
realistic digital painting, astronaut in a garden on a spring day, by martine johanna and simon \
stalenhag and chie yoshii and casey weldon \
and wlop, ornate, dynamic, particulate, rich colors, intricate, elegant, highly detailed, harpers \
bazaar art, fashion magazine, smooth, \
sharp focus, 8 k, octane rende --mask_prompt foreground --mask_negative clothes --mask_invert \
--mask_dilate -20 --hires_denoising_strength 0.2
num_images=1
negative_prompt=clay, text, watermark, padding, cropped, typography
seed=
steps=30
cfg_scale=
controlnet=pose
input_image_url=https://sdbooth2-production.s3.amazonaws.com/d6ff3soq5pok5tlbcanf599vkw06
mask_image_url=
denoising_strength=
controlnet_conditioning_scale=
controlnet_txt2img=false
super_resolution=true
inpaint_faces=false
face_correct=true
film_grain=false
face_swap=false
hires_fix=true
ar=1:1
scheduler=dpm++sde_karras
color_grading=
use_lpw=true
w=
h=
"""

_OUTPAINT_BLOCK = """\
num_images=1
negative_prompt=
seed=
steps=
cfg_scale=
controlnet=
input_image_url={image}
mask_image_url=
denoising_strength={strength}
controlnet_conditioning_scale=
controlnet_txt2img=false
super_resolution={super_resolution}
inpaint_faces=false
face_correct=false
film_grain=false
face_swap=false
hires_fix=false
backend_version=0
ar=1:1
scheduler=euler_a
color_grading=
use_lpw={use_lpw}
w={w}
h={h}
"""
PORTRAIT = "https://sdbooth2-production.s3.amazonaws.com/qg202t8sqfn1olewuzdujgaq29si"
SWEATER = "ohwx woman, dressed in cozy peach sweater, shoulders up, depth of field"
TEXT_BLOCK = _OUTPAINT_BLOCK.format(
    image="", strength="", super_resolution="false", use_lpw="false", w=1024, h=1024
)

OUTPAINT_TEXT = "--outpaint top-center --outpaint_width 864 --outpaint_height 1296"
FIELDS_TEXT = (
    f"<lora:1533312:1.0> {SWEATER} --outpaint top-center --outpaint_width 1792 --outpaint_height"
    ' 1024 --outpaint_prompt "fields"'
)
TRUMP_TEXT = (
    f"<lora:1533312:1.0> {SWEATER} --outpaint left-center --outpaint_width 1792 --outpaint_height"
    ' 1024 --outpaint_prompt "president Trump the middle of the field"'
)
OUTPAINT_ONLY = f"{OUTPAINT_TEXT}\n" + _OUTPAINT_BLOCK.format(
    image=PORTRAIT, strength=0, super_resolution="true", use_lpw="true", w=576, h=864
)

SERENE = (
    "Surrounded by the natural beauty of a serene, wooded environment, the ohwx woman exudes a"
    " sense of tranquility and connection with her surroundings. She wears a flowing,"
    " organic-inspired dress in earthy tones, her face framed by loose, windblown hair. The"
    " lighting is soft and diffused, creating a soothing, meditative atmosphere that invites the"
    " viewer to pause and connect with the moment."
)
