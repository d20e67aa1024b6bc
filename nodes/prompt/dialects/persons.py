"""Whether words can describe a person.

In other programs BREAK only cuts the text into chunks of tokens; here it begins a person, who would
then be drawn from `masterpiece, best quality`.
"""

from __future__ import annotations

import re
import unicodedata

# Words for quality, light, camera, style and colour, as they stand in such chunks, with the small
# words between them. No word that somebody may be called by, as Rose or Amber.
_WORDS_OF_NOBODY = """
    a an and as at by for from in into of on or the to up very with
    masterpiece masterpieces best quality good great better high highest higher highly ultra super
    hyper extremely extreme incredibly insanely absurdly detailed detail details intricate elaborate
    sharp crisp clear clean fine focus focused realistic realism photorealistic photorealism
    hyperrealistic hyperrealism hyperdetailed semi real photo photos photograph photographs
    photography photographic picture image cinematic cinema movie film still dramatic epic lighting
    light lights lit backlit backlight backlighting studio soft softly hard harsh natural ambient
    volumetric global illumination rim ray rays tracing traced shadow shadows bright dark dim moody
    golden hour sunlight sunset sunrise daylight moonlight glow glowing bloom flare flares bokeh
    depth field dof blurry blurred blur background foreground shallow wide angle close closeup
    macro telephoto lens camera shot full half body upper view 4k 8k 16k uhd hd hdr hq raw dslr iso
    f render rendered rendering unreal engine octane vray cgi cg 3d 2d trending artstation
    deviantart award winning professional professionally grain grainy kodak fujifilm canon nikon
    leica hasselblad polaroid analog resolution res absurdres highres hires score rating safe source
    newest recent year amazing beautiful beautifully gorgeous aesthetic stunning perfect perfectly
    composition composed vivid vibrant saturated colorful colourful color colors colour colours
    grading graded tone tones toned contrast warm cold cool muted pastel neon monochrome sepia
    black white grey gray red green blue yellow orange purple pink brown gold silver teal turquoise
    cyan magenta beige style styled stylized digital art artwork artistic illustration painting
    painted watercolor watercolour oil sketch drawing lineart anime manga comic cartoon
    vintage retro noir minimalist fantasy wallpaper portrait portraits official concept texture
    textures textured smooth skin
"""
_NOBODY = frozenset(_WORDS_OF_NOBODY.split())
# Words for one person. A name or another word is told of where tags or the number say so.
_WORDS_OF_ONE = """
    woman man girl boy lady gentleman guy child kid baby toddler 1girl 1boy
    frau mann m\xe4dchen kind femme homme fille gar\xe7on enfant mujer hombre chica chico ni\xf1a
    ni\xf1o donna uomo ragazza ragazzo mulher homem menina menino
"""
_WORDS_OF_ANYBODY = "person people human adult female male character solo"
WORDS_OF_ONE = frozenset(_WORDS_OF_ONE.split())
_OF_ANYBODY = frozenset(_WORDS_OF_ANYBODY.split())
_WORD = re.compile(r"[^\W_]+")
_MEASURE = re.compile(r"f?\d+(?:k|mm|p|d|bit|x)?")


def words_in(text: str) -> frozenset[str]:
    """Return the words of a text, in small letters."""
    return frozenset(_WORD.findall(text.casefold()))


def telling_words(text: str) -> list[str]:
    """Return those words of a text that can mean one thing or person alone: not those that any
    person or picture may be described by.
    """
    common = _NOBODY | WORDS_OF_ONE | _OF_ANYBODY
    words = dict.fromkeys(_WORD.findall(text.casefold()))
    return [word for word in words if word not in common and not _MEASURE.fullmatch(word)]


def names_somebody(text: str) -> bool:
    """Say whether the words can be those of a person or another being.

    They are, unless each of them only tells of quality, light, camera, style or colour: names and
    words of any language may be somebody's, and so may an emoji.
    """
    words = _WORD.findall(text.casefold())
    return any(word not in _NOBODY and not _MEASURE.fullmatch(word) for word in words) or any(
        unicodedata.category(char) == "So" for char in text
    )
