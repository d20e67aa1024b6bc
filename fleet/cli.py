"""`python dev.py fleet`: each command is one process, to be ended and started by itself."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..devtools import comfyui
from ..devtools.console import DevError, say
from ..devtools.lock import try_lock
from ..devtools.paths import BASE, DEV, FLEET_VENV, ROOT, STATE_FOLDER, venv_python
from ..nodes.errors import AstriaError
from ..nodes.net import settings
from ..nodes.net.fleet_files import LOCK_FILE, STATUS_FILE
from . import nodes
from .environment import TOKEN_FILE, check_token, make_token, variables
from .serving import Service, drain

RAY = "ray==2.60.0"
PILLOW = "pillow==13.0.0"  # marks finished pictures
PORT = 6379
_INSIDE = "ASTRIA_FLEET_INSIDE"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_PROGRESS_S = 1.0
_HEAD_S = 60.0  # between two complaints that no head is there


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    if arguments.command in ("setup", "head", "join", "dispatch", "run"):
        if sys.platform != "linux":
            raise DevError("A fleet's machines run Linux.", "Use one ComfyUI, or a Linux machine.")
        setup()
    return _COMMANDS[arguments.command](arguments)


def setup() -> None:
    """Make the venv with Ray, where it is not there yet."""
    stamp = FLEET_VENV / ".packages"
    wanted = f"{RAY} {PILLOW}"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    say(f"- fleet: fetching {RAY} (80 MB) into {FLEET_VENV}")
    python = str(venv_python(FLEET_VENV))
    for command in (
        [sys.executable, "-m", "venv", str(FLEET_VENV)],
        [python, "-m", "pip", "install", "-q", "--only-binary", ":all:", RAY, PILLOW],
    ):
        if subprocess.run(command, check=False).returncode != 0:
            raise DevError(
                f"Ray could not be installed into {FLEET_VENV}.",
                "pip's own words stand above. Run the command again when there is a network.",
            )
    stamp.write_text(wanted, encoding="utf-8")


def _head(arguments: argparse.Namespace) -> int:
    make_token(arguments.token)
    host = arguments.host or nodes.own_address()
    log = nodes.log_of("head")
    with nodes.head(host, arguments.port, arguments.token, log) as process:
        say(
            f"The head runs at {host}:{arguments.port} (log: {log}). On each machine with GPUs,"
            f" with a copy of {arguments.token}:\n"
            f"  python dev.py fleet join {host}:{arguments.port}\n"
            "Beside the API, or for a file of prompts, with PATH of its ComfyUI:\n"
            f"  python dev.py fleet dispatch {host}:{arguments.port} --comfyui PATH\n"
            f"  python dev.py fleet run prompts.jsonl --out FOLDER --address"
            f" {host}:{arguments.port} --comfyui PATH"
        )
        return _until_ended(process, "The head", log)


def _join(arguments: argparse.Namespace) -> int:
    from ..devtools.environment import prepare

    check_token(arguments.token)
    slots = (
        [f"cpu-{number + 1}" for number in range(arguments.cpu)]
        if arguments.cpu
        else arguments.gpus.split(",")
        if arguments.gpus
        else nodes.gpus_here()
    )
    if not slots:
        raise DevError(
            "nvidia-smi lists no GPU here.",
            "Name them as CUDA counts them, --gpus 0,1, or take --cpu 1 to try it without.",
        )
    if not _NAME.fullmatch(arguments.name):
        raise DevError(
            f"--name {arguments.name!r} is no name of a machine.", "Letters, digits, '.' and '-'."
        )
    environment = prepare()
    own = comfyui.own_path()
    options = nodes.MachineOptions(
        arguments.name,
        slots,
        environment.python,
        environment.comfyui,
        arguments.models or (own / "models" if own else BASE / "models"),
        DEV / "fleet" / arguments.name,
        _packs(arguments.pack),
    )
    log = nodes.log_of(f"node-{arguments.name}")
    say(
        f"{arguments.name} offers {', '.join(slots)} to {arguments.address}, with the models of"
        f" {options.models} (log: {log}). Before Ctrl-C: python dev.py fleet drain"
        f" {arguments.name}, beside the dispatcher."
    )
    while True:  # a head that is started again finds its machines
        if not nodes.is_listening(arguments.address, _HEAD_S):
            say(f"- nobody listens at {arguments.address}; is the head running, the port open?")
            continue
        with nodes.node(arguments.address, options, arguments.token, log) as process:
            try:
                return _until_ended(process, "The node", log)
            except DevError as error:
                say(f"- {error}\n- joining again")


def _packs(named: Sequence[Path]) -> list[Path]:
    """Return the folders of node packs. Raises: DevError for one that is none."""
    for one in named:
        if not (one / "__init__.py").is_file():
            raise DevError(
                f"--pack {one} is no node pack: there is no {one / '__init__.py'}.",
                "Name the folder of a pack that ComfyUI here loads: custom_nodes/ComfyUI-GGUF.",
            )
    return [one.resolve() for one in named]


def _until_ended(process: subprocess.Popen[bytes], what: str, log: Path) -> int:
    try:
        nodes.wait_started(process, what, log)
        say(f"- {what[0].lower()}{what[1:]} has started")
        while True:
            nodes.check_running(process, what, log)
            time.sleep(1)
    except KeyboardInterrupt:
        say(f"\n{what} is ended")
        return 0


def _inside(arguments: argparse.Namespace) -> None:
    """Go on in the venv with Ray, which reads its variables as it is imported."""
    if os.environ.get(_INSIDE) != "1":
        given = {**variables(arguments.token), _INSIDE: "1"}
        python = str(venv_python(FLEET_VENV))
        os.execve(python, [python, str(ROOT / "dev.py"), *sys.argv[1:]], given)


def _dispatch(arguments: argparse.Namespace) -> int:
    _inside(arguments)
    from .database import DatabaseSource, folders_of

    folder = _state_folder(arguments)
    folders = folders_of(folder)
    if not settings.load(folder / settings.SETTINGS_FILE).fleet or folders is None:
        raise DevError(
            f"The API's ComfyUI of {folder} runs its prompts itself.",
            f"Write fleet = yes into {folder / settings.SETTINGS_FILE} and start ComfyUI again.",
        )
    lock = try_lock(folder / LOCK_FILE)
    if lock is None:
        raise DevError(
            f"Another dispatcher works for {folder}.", "One is enough; end it to start another."
        )
    source = DatabaseSource(folder, folders)
    with lock:
        _serve(arguments, source, folder, lambda service: False)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    _inside(arguments)
    from .batch import FileSource, read_lines

    folder = _state_folder(arguments)
    own = comfyui.own_path()
    models = [folder.parent.parent / "models", *([own / "models"] if own else [])]
    source = FileSource(read_lines(arguments.prompts), arguments.out, folder, models)
    total = source.count_open()
    manifest = arguments.out / "manifest.jsonl"
    why = f" (why: {manifest})" if source.failed else ""
    say(
        f"- {total} prompts to run, {source.skipped} done already, {source.failed} with errors{why}"
    )
    shown_at = [0.0]

    def is_over(service: Service) -> bool:
        left = source.count_open()
        if time.monotonic() - shown_at[0] > _PROGRESS_S or not left:
            shown_at[0] = time.monotonic()
            told = service.status()
            rate = f", {told['per_minute']} a minute" if told["per_minute"] else ""
            end = "\n" if not left else ""
            ready = sum(one["state"] != "starting" for one in told["workers"].values())
            sys.stdout.write(
                f"\r{total - left} of {total}, {source.failed} failed, {told['running']} running on"
                f" {ready} workers{rate}   {end}"
            )
            sys.stdout.flush()
        return not left

    if total:
        arguments.out.mkdir(parents=True, exist_ok=True)
        _serve(arguments, source, folder, is_over)
    say(f"- {arguments.out}: pictures, and {manifest}")
    return int(source.failed > 0)


def _serve(
    arguments: argparse.Namespace,
    source,
    folder: Path,
    is_over: Callable[[Service], bool],
) -> None:
    from .cluster import RayPool, be_the_only_dispatcher, connect
    from .dispatcher import Dispatcher
    from .version import pack_version

    if not nodes.is_listening(arguments.address):
        say(f"- nobody listens at {arguments.address} yet; is the head running, the port open?")
    connect(arguments.address)
    _only = be_the_only_dispatcher(
        lambda: say("- another dispatcher works on this cluster; waiting a minute for its end")
    )
    pool = RayPool(pack_version())
    service = Service(Dispatcher(source, pool), pool, folder, source.backlog)
    say(f"- dispatching to the workers of {arguments.address}; Ctrl-C ends it, and they go on")
    try:
        while not is_over(service):
            service.step()
    except KeyboardInterrupt:
        say("\n- ended; the same command goes on")
    finally:
        with suppress(AstriaError, OSError):
            service.tell()  # of a run that ended since it was told last


def _status(arguments: argparse.Namespace) -> int:
    path = _state_folder(arguments) / STATUS_FILE
    if not path.exists():
        raise DevError(
            f"No dispatcher has run for {path.parent}.",
            "Start one: python dev.py fleet dispatch HOST:PORT --comfyui PATH",
        )
    told = told_in(path.parent)
    if arguments.json:
        say(json.dumps(told, indent=1))
        return 0
    age_s = time.time() - told["updated_at"]
    late = f"  (told {age_s:.0f} s ago: no dispatcher runs)" if age_s > 10 else ""
    say(
        f"waiting {told['waiting']}, running {told['running']}, done {told['done']}, failed"
        f" {told['failed']}, run again {told['rerun']}, models loaded {told['loads']},"
        f" a minute {told['per_minute'] or '-'}{late}"
    )
    if held := told["waiting_for_training"]:
        say(f"{held} more wait until their tune is trained")
    if told["problem"]:
        say(f"held up: {told['problem']}")
    for name, one in sorted(told["workers"].items()):
        took = f" for {one['seconds']} s" if one["seconds"] else ""
        base = f", {', '.join(one['base'])}" if one["base"] else ""
        say(f"  {name}: {one['state']}{took}, {one['done']} done{base}")
    return 0


def told_in(folder: Path) -> dict[str, Any]:
    """Return what the last dispatcher told; nothing where none has run."""
    path = folder / STATUS_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _drain(arguments: argparse.Namespace) -> int:
    is_on = arguments.command == "drain"
    folder = _state_folder(arguments)
    left = drain(folder, arguments.names, is_on=is_on)
    say(f"drained: {', '.join(left) or 'none'}")
    workers = told_in(folder).get("workers", {})
    there = {*workers, *(name.partition("/")[0] for name in workers)}
    if is_on and (absent := [name for name in arguments.names if name not in there]):
        say(
            f"{', '.join(absent)}: not among the workers ({', '.join(sorted(workers)) or 'none'});"
            " it is given nothing once it joins"
        )
    return 0


def _setup(arguments: argparse.Namespace) -> int:
    say(f"ready: {FLEET_VENV}")
    return 0


def _state_folder(arguments: argparse.Namespace) -> Path:
    base = arguments.comfyui or BASE
    folder = base / "user" / STATE_FOLDER
    if not folder.is_dir():
        raise DevError(
            f"{base} has no private folder of the pack ({folder}).",
            "Name the API's ComfyUI by --comfyui PATH, and start it once.",
        )
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py fleet", description="See docs/fleet.md.")
    commands = parser.add_subparsers(dest="command", required=True)
    made = {name: commands.add_parser(name, help=text) for name, text in _HELP.items()}
    for name in ("head", "join", "dispatch", "run"):
        made[name].add_argument("--token", type=Path, default=TOKEN_FILE, help="file of the token")
    for name in ("dispatch", "run", "status", "drain", "undrain"):
        made[name].add_argument("--comfyui", type=Path, help="folder of the API's ComfyUI")
    made["head"].add_argument("--host", help="address of this machine in the private network")
    made["head"].add_argument("--port", type=int, default=PORT)
    for name in ("join", "dispatch"):
        made[name].add_argument("address", help="HOST:PORT of the head")
    made["run"].add_argument("prompts", type=Path, help="a JSON object of attributes on each line")
    made["run"].add_argument("--out", type=Path, required=True, help="folder for the pictures")
    made["run"].add_argument("--address", required=True, help="HOST:PORT of the head")
    made["join"].add_argument("--name", default=socket.gethostname())
    made["join"].add_argument("--gpus", help="as CUDA numbers them: 0,1; all without it")
    made["join"].add_argument("--cpu", type=int, default=0, help="so many workers without a GPU")
    made["join"].add_argument("--models", type=Path, help="model folder that the workers read")
    made["join"].add_argument(
        "--pack",
        type=Path,
        action="append",
        default=[],
        help="folder of another node pack that the workers load; may be given more than once",
    )
    made["status"].add_argument("--json", action="store_true")
    for name in ("drain", "undrain"):
        made[name].add_argument("names", nargs="+", help="machines, or workers as MACHINE/SLOT")
    return parser


_HELP = {
    "setup": "make the venv with Ray; the other commands do it by themselves",
    "head": "run the head of a fleet's cluster",
    "join": "offer this machine's GPUs",
    "dispatch": "give the API's prompts to the workers",
    "run": "run a file of prompts on the workers, without the API",
    "status": "show workers, what waits, rates, failures",
    "drain": "give machines or workers nothing more, and end them when they are idle",
    "undrain": "take them back",
}
_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "setup": _setup,
    "head": _head,
    "join": _join,
    "dispatch": _dispatch,
    "run": _run,
    "status": _status,
    "drain": _drain,
    "undrain": _drain,
}


def run(argv: list[str]) -> int:
    """Run `python dev.py fleet`, and tell errors of the pack as this checkout's commands do."""
    try:
        return main(argv)
    except AstriaError as error:
        raise DevError(error.message, error.hint or "docs/fleet.md") from error
