"""Ids and names of prompts -> the user's own files.

Bindings, tunes database, resolver (standard library only).
"""
