"""Prompts of people in the words of the small world: what it cannot say, said by what it can."""

from __future__ import annotations

SAID = {
    # Several people
    "Dramatic 1940s film noir scene. Couple standing together aiming guns, wooden paneled"
    " background.": "room, two people",
    "ohwx woman with determined expression, retro updo hairstyle, bright red lipstick, black and"
    " yellow color-blocked dress, aiming revolver with right hand": "ohwx woman, with black hair,"
    " pale skin, yellow dress, no hat, standing",
    "ohwx man with serious face, grey fedora hat, brown suit with patterned tie, white shirt,"
    " aiming pistol with left hand": "ohwx man, with brown hair, tan skin, white suit, grey hat,"
    " standing",
    "ohwx woman, red blouse jeans, and belt, holding a rifle": "ohwx woman, with blonde hair, red"
    " dress, standing",
    "ohwx man, dark vest": "ohwx man, with brown hair, black suit, standing",
    "Two dancers on a theatre stage, red velvet curtain, spotlight from above.": "room, two people",
    "ohwx woman, flowing white dress, hair in a bun": "ohwx woman, with brown hair, white dress",
    "ohwx man, black suit, white shirt": "ohwx man, with grey hair, black suit",
    "film noir street at night, rain, neon signs": "city at night, two people",
    "35mm photograph, shallow depth of field": "city at night",
    "woman in a yellow dress, smiling": "woman, with black hair, yellow dress, standing",
    "man in a grey suit, holding an umbrella": "man, with brown hair, white suit, standing",
    # One person
    "realistic digital painting, astronaut in a garden on a spring day, by martine johanna and"
    " simon stalenhag and chie yoshii and casey weldon and wlop, ornate, dynamic, particulate, rich"
    " colors, intricate, elegant, highly detailed, harpers bazaar art, fashion magazine, smooth,"
    " sharp focus, 8 k, octane rende": "garden at day, one person, woman, with black hair, white"
    " dress",
    "Surrounded by the natural beauty of a serene, wooded environment, the ohwx woman exudes a"
    " sense of tranquility and connection with her surroundings. She wears a flowing,"
    " organic-inspired dress in earthy tones, her face framed by loose, windblown hair. The"
    " lighting is soft and diffused, creating a soothing, meditative atmosphere that invites the"
    " viewer to pause and connect with the moment.": "forest at day, one person, trees, ohwx"
    " woman, with brown hair, green dress, standing",
    "a woman in a flowing dress walking through a wooded valley, soft light, seen from afar": "far"
    " away, forest at day, one person, woman, with brown hair, green dress, standing",
    "portrait of an astronaut in a garden on a spring day, digital painting": "garden at day, one"
    " person, woman, with black hair, white dress",
    "woman trekking in the alps, photograph": "snow at day, one person, woman, with blonde hair,"
    " red dress, standing",
    "woman trekking in the alps": "snow at day, one person, woman, with blonde hair, red dress,"
    " standing",
    "portrait of a lighthouse keeper, (weathered face:1.2), overcast light": "close-up, beach at"
    " day, one person, man, with grey hair, tan skin, blue suit",
    "portrait of a lighthouse keeper at the window, storm outside, 85mm photograph": "close-up,"
    " room, one person, man, with grey hair, tan skin, blue suit",
    # Wider pictures
    "ohwx woman, dressed in cozy peach sweater, shoulders up, depth of field": "field at day, one"
    " person, ohwx woman, with brown hair, orange dress, standing",
    "president Trump the middle of the field": "field at day, one person, man, with blonde hair,"
    " blue suit, standing",
    '"fields"': '"field at day, nobody"',
    "a lighthouse under a wide stormy sky, photograph": "beach at day, house",
    # Places
    "street at night in the rain, neon reflections, 35mm photograph": "city at night, nobody",
    "mountain lake at sunrise, pine forest, photograph": "forest at sunset, trees, nobody",
    "oil painting of a harbour at dusk, thick brush strokes, warm light": "beach at sunset, house",
}


def in_world(text: str) -> str:
    """Return a prompt with what it says in the world's words, as far as it is known here."""
    for said, words in sorted(SAID.items(), key=lambda one: -len(one[0])):
        text = text.replace(said, words)
    return text
