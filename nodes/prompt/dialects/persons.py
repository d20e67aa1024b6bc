"""Whether words speak of somebody.

In other programs BREAK only cuts the text into chunks of tokens; here it begins a person, who would
then be drawn from `masterpiece, best quality`.
"""

from __future__ import annotations

import re
from itertools import pairwise

_WORDS_FOR_SOMEBODY = """
    man woman men women boy girl guy gal lady gentleman child children kid kids baby toddler infant
    teen teenager adult person people human couple somebody someone he she him her his hers they
    them male female father mother dad mom daughter son sister brother twin twins grandmother
    grandfather grandma grandpa grandson granddaughter uncle aunt cousin nephew niece husband wife
    bride groom bridesmaid friend lover boyfriend girlfriend family member figure character
    actor actress hero heroine villain king queen prince princess duke duchess
    knight warrior soldier samurai ninja geisha viking pirate cowboy cowgirl wizard witch warlock
    sorcerer sorceress mage elf dwarf orc fairy angel demon devil vampire zombie ghost mermaid
    goddess god nymph robot android cyborg alien monster creature astronaut pilot captain sailor
    officer policeman detective spy agent thief assassin gangster doctor nurse surgeon scientist
    professor teacher student pupil engineer artist painter singer musician dancer ballerina
    drummer guitarist pianist violinist chef cook waiter waitress barista baker farmer fisherman
    hunter lumberjack carpenter blacksmith mechanic worker builder miner firefighter athlete runner
    swimmer boxer wrestler footballer player gymnast skater surfer cyclist biker driver racer rider
    clown magician monk nun priest pope bishop rabbi imam shaman priestess maid butler servant
    businessman businesswoman boss ceo lawyer judge president politician senator mayor journalist
    photographer writer poet reporter librarian secretary tourist traveler traveller hiker explorer
    archer rogue paladin druid necromancer barbarian gladiator emperor empress sultan pharaoh
    hippie punk goth rapper rockstar dj bartender hacker gamer nerd santa elder crone hag
    dog cat puppy kitten wolf fox bear lion tiger leopard horse pony unicorn dragon bird owl eagle
    parrot rabbit bunny deer cow pig sheep goat monkey gorilla ape elephant penguin mouse rat frog
    animal pet ohwx sks zwx subject protagonist
"""
_ENDINGS = ("man", "men", "woman", "women", "girl", "girls", "boy", "boys", "person", "lady")
_WORDS_OF_PRAISE = """
    masterpiece masterpieces best quality high highest highly ultra super extremely very detailed
    detail details intricate sharp focus realistic photorealistic hyperrealistic photo photograph
    photography cinematic dramatic lighting light lights studio soft natural rim bokeh depth of
    field dof 4k 8k 16k uhd hd hdr raw render unreal engine octane trending artstation award winning
    professional film grain kodak fujifilm canon nikon dslr lens resolution res absurdres highres
    score newest year amazing beautiful aesthetic stunning perfect composition vivid colors colours
    vibrant style digital art illustration wallpaper portrait cg official artwork concept
"""
_SOMEBODY = frozenset(_WORDS_FOR_SOMEBODY.split())
_QUALITY = frozenset(_WORDS_OF_PRAISE.split())
_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_PREFIXED = re.compile(r"\d*(?:\+)?(girl|boy|woman|women|man|men|other)s?", re.IGNORECASE)


def names_somebody(text: str) -> bool:
    """Say whether the words can be those of a person or another being.

    A single word is taken for a name, unless it is one that only praises; so are two words in
    capitals, and what is not written in English letters cannot be judged.
    """
    words = _WORD.findall(text)
    if not text.isascii() or not words:
        return True
    if len(words) == 1:
        return words[0].casefold() not in _QUALITY
    return any(map(_is_somebody, words)) or _has_name(text)


def _is_somebody(word: str) -> bool:
    plain = word.casefold()
    return (
        plain in _SOMEBODY
        or plain.removesuffix("s") in _SOMEBODY
        or plain.endswith(_ENDINGS)
        or any(part in _SOMEBODY for part in re.split(r"[-']", plain))
        or bool(_PREFIXED.fullmatch(plain))
    )


def _has_name(text: str) -> bool:
    """Say whether two neighbouring words are written as a name is, and neither praises."""
    for phrase in re.split(r"[,.;:()\[\]\n]", text):
        words = _WORD.findall(phrase)
        for first, second in pairwise(words):
            if (
                first.istitle()
                and second.istitle()
                and not {first.casefold(), second.casefold()} & _QUALITY
            ):
                return True
    return False
