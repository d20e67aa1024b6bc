"""Loads the pack in Ray's processes: their machine's own checkout.

Sent to them as code, for there is nothing that they could import it from.
"""


def load_pack() -> None:
    """Make `comfyui_astria` importable, from the folder that `fleet join` noted."""
    import importlib.util
    import os

    path = os.path.join(os.environ["ASTRIA_FLEET_PACK"], "pack_loader.py")
    spec = importlib.util.spec_from_file_location("pack_loader", path)
    loader = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loader)
    loader.load()
