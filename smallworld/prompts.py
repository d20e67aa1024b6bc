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
    "Dramatic 1940s film noir scene. Couple standing together at a bar, wooden paneled"
    " background.": "room, two people",
    "ohwx woman with determined expression, retro updo hairstyle, bright red lipstick, black and"
    " yellow color-blocked dress": "ohwx woman, with black hair, pale skin, yellow dress, no hat,"
    " standing",
    "ohwx man with serious face, grey fedora hat, brown suit with patterned tie, white shirt": ""
    "ohwx man, with brown hair, tan skin, white suit, grey hat, standing",
    "ohwx woman, red blouse, jeans and belt": "ohwx woman, with blonde hair, red dress, standing",
    "Two musicians rehearsing in a sunlit attic, dust in the air, shelves full of records, 35mm"
    " film photo": "room, two people",
    "ohwx woman in a red corduroy jacket, playing a cello": "ohwx woman, with brown hair, red"
    " dress, standing",
    "ohwx man with rolled up sleeves, at an upright piano": "ohwx man, with black hair, white suit,"
    " standing",
    "Two mountaineers at a hut above the clouds, first light on the ridge, frost on the railing,"
    " photo": "snow at sunset, two people",
    "ohwx woman in an orange down jacket, drinking tea from a steel cup": "ohwx woman, with blonde"
    " hair, orange dress, standing",
    "ohwx man with a blue rope over his shoulder, looking into the valley": "ohwx man, with brown"
    " hair, blue suit, standing",
    "Two gardeners in an old greenhouse, wet glass, ferns and terracotta pots, soft morning light,"
    " photo": "garden at day, two people",
    "ohwx woman in a linen apron, holding a tray of seedlings": "ohwx woman, with ginger hair,"
    " white dress, standing",
    "ohwx man in a straw hat, watering orchids": "ohwx man, with grey hair, green suit, grey hat,"
    " standing",
    "Two old friends at a chess table in a park, autumn leaves, low sun through plane trees,"
    " medium format": "forest at sunset, two people, trees",
    "ohwx woman in a red wool coat, moving a white knight, amused": "ohwx woman, with grey hair,"
    " red dress, standing",
    "ohwx man with a grey scarf, chin on his hand, thinking": "ohwx man, with grey hair, black"
    " suit, standing",
    "two chess players at a park table, autumn leaves, photograph": "forest at day, two people,"
    " trees",
    "ohwx woman, grey wool coat, short hair": "ohwx woman, with black hair, purple dress, no hat,"
    " standing",
    "ohwx man, brown corduroy jacket, clean shaven": "ohwx man, with brown hair, green suit, no"
    " glasses, standing",
    "two colleagues at a cafe table, morning light, photograph": "room, two people",
    "ohwx woman, green raincoat, laughing": "ohwx woman, with blonde hair, green dress, standing",
    "ohwx man, grey pullover": "ohwx man, with black hair, black suit, standing",
    "Two friends at a night market after rain, wet pavement full of neon reflections, 35mm film"
    " photo": "city at night, two people",
    "ohwx woman laughing, yellow raincoat, holding a paper lantern": "ohwx woman, with black hair,"
    " yellow dress, waving",
    "ohwx man in a dark green jacket, eating noodles with chopsticks": "ohwx man, with black hair,"
    " green suit, standing",
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
    "an old farmer in the middle of the field": "field at day, one person, man, with grey hair,"
    " green suit, grey hat, standing",
    "portrait of an old violin maker at his bench, warm lamplight": "close-up, room, one person,"
    " man, with grey hair, white suit, glasses",
    '"workshop full of hanging violins, wood shavings, dusty window"': '"room, nobody"',
    "president Trump the middle of the field": "field at day, one person, man, with blonde hair,"
    " blue suit, standing",
    '"fields"': '"field at day, nobody"',
    "a lighthouse under a wide stormy sky, photograph": "beach at day, house",
    "portrait of a clockmaker in his workshop, (brass gears:1.2), [clutter], window light": ""
    "close-up, room, one person, man, with grey hair, black suit, glasses",
    # Places
    "a potter's workshop by the sea, bowls drying on a shelf, morning light, 35mm photo": ""
    "beach at day, house, nobody",
    "a red fishing boat in a harbour in the fog, gulls on the pier, photograph": "beach at day,"
    " nobody",
    "an old bookshop on a rainy evening, warm lamps in the window, photograph": "city at night,"
    " house, nobody",
    "a tram climbing a steep street at dusk, wet rails, lit windows, film photo": "city at sunset,"
    " nobody",
    "a greenhouse cafe full of ferns, two cups on a marble table, film photo": "garden at"
    " day, trees, nobody",
    "a fox crossing a frozen river": "snow at day, nobody",
    "a bunch of wild flowers in a glass vase, photograph": "garden at day, nobody",
    "highly detailed photograph of a harbour town": "beach at day, house",
    "market square of an old town seen from a tower, hundreds of stalls and awnings, late afternoon"
    " sun, photograph": "far away, city at sunset, four people",
    "botanical plate of a magnolia branch (Magnolia grandiflora), ink and watercolour on cream"
    " paper": "garden at day, nobody, trees",
    "digital painting, astronaut in a garden on a spring day, ornate, rich colors, highly detailed,"
    " smooth, sharp focus": "garden at day, one person, woman, with black hair, white dress",
    "street at night in the rain, neon reflections, 35mm photograph": "city at night, nobody",
    "mountain lake at sunrise, pine forest, photograph": "forest at sunset, trees, nobody",
    "oil painting of a harbour at dusk, thick brush strokes, warm light": "beach at sunset, house",
}


def in_world(text: str) -> str:
    """Return a prompt with what it says in the world's words, as far as it is known here."""
    for said, words in sorted(SAID.items(), key=lambda one: -len(one[0])):
        text = text.replace(said, words)
    return text
