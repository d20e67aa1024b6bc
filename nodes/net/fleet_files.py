"""Files in the private folder by which the API's ComfyUI and a fleet's dispatcher meet."""

FOLDERS_FILE = "fleet_folders.json"  # written by ComfyUI: its input, output and temp folders
STATUS_FILE = "fleet_status.json"  # written by the dispatcher: its workers, what waits and runs
LOCK_FILE = "fleet.lock"  # held by the one dispatcher
DRAINED_FILE = "fleet_drained.json"  # machines and workers that are given nothing more
