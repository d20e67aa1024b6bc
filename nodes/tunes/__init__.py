"""Ids and names of prompts -> the user's own files: bindings, tunes database, resolver (standard library only)."""
