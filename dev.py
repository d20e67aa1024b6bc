"""The developer's front door: `python dev.py COMMAND`.

Runs on any Python from 3.10 on; everything else it gets itself.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

if sys.version_info < (3, 10):
    sys.exit(
        f"dev.py needs Python 3.10 or newer; this is {sys.version.split()[0]}. Start it with a"
        " newer one, for instance python3.12 dev.py."
    )

import pack_loader

# The checkout must not stand on sys.path: its nodes/ would hide the host's nodes.py. The pack is
# loaded under its own name instead.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != pack_loader.ROOT]
pack_loader.load()

if __name__ == "__main__":
    from comfyui_astria.devtools.commands import main

    # Ends like Ctrl-C: a host that we started must not outlive us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
