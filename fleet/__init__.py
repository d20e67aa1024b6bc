"""Many ComfyUIs on many machines, as one: docs/fleet.md."""
