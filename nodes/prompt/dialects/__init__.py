"""The spellings of other programs: their settings read, their syntax recognised and told."""
