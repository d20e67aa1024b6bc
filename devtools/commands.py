"""The commands of dev.py."""

from __future__ import annotations

import os
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

from . import clean_metadata, comfyui, gpu, learning_bundle
from .bench import run_benchmarks
from .browser import find_chromium
from .console import DevError, say
from .environment import Environment, prepare
from .frontend import fetch_newest
from .host import Host, HostOptions, has_accelerator
from .paths import BASE, DEV, GALLERY, ROOT, STATE_FOLDER, inside_venv
from .report import report, take_json_option

_EXTRA_PATHS = "extra_model_paths.yaml"
_SMALL_WORLD = "--small-world"
_TEST_PROCESSES = 4  # each may have hosts and models that take some 3 GB

USAGE = """\
python dev.py COMMAND [ARGUMENTS]

  setup                        make .venv and get ComfyUI; the other commands do this by themselves
  demo [--json FILE]           run the example prompts and show the pictures
  test [--no-browser] [...]    run the tests; other arguments go to pytest
                               (--long: also those that take minutes)
  serve [--no-browser] [...]   open ComfyUI with the pack loaded; other arguments go to ComfyUI
                               (--small-world: with the models of the small drawn world)
  bench [NAME|all] [--json FILE]   measure; without a name, list what can be measured
                               (--long: in all cases and more rounds)
  bench gpu [--dry] [...]      measure on a GPU, in five minutes at most; docs/commands.md
  bind ID FILE                 bind an id or role of prompts to a file of yours
                               (--list, --remove ID, --comfyui PATH)
  explain FILE                 show what a prompt would do, without running it
  compile FILE                 turn a prompt into a workflow file
  train FOLDER --name WORD     train a person from photos; stopped, the same command goes on
                               (--base ID, --person-agreed; --help lists the rest)
  learn NAME [--steps N]       train a model of the small drawn world from nothing
                               (--help lists the rest); smallworld/README.md
  fleet COMMAND                one API, many machines with GPUs: docs/fleet.md
  clean-metadata FILE ...      take what older versions told of your files out of saved pictures
  gallery                      photograph the screens of docs/gallery.md anew, in the browser
  pictures                     photograph the nodes for their help pages, and the tutorial, anew
  workflows                    compile the example workflows and draw their thumbnails
  paint [NAME ...]             paint those thumbnails with the small drawn world's models
  definitions                  write the nodes' definitions and English texts anew
  promise                      add new nodes, inputs and outputs to what later versions keep
  structure [--json FILE]      measure how the code is built: layers, circles, sizes

Environment: COMFYUI_PATH (your own ComfyUI), COMFYUI_PYTHON (the Python that starts it),
ASTRIA_CHROMIUM (the browser for the tests)
"""
# Command -> what it does with everything there is.
_WITHOUT_ARGUMENTS = {
    "setup": "It makes all that the other commands need.",
    "demo": "It shows everything; only --json FILE goes with it.",
    "gallery": "It photographs every screen.",
    "pictures": "It photographs every node.",
    "workflows": "It compiles every prompt in workflows/prompts/.",
    "definitions": "It writes those of all nodes.",
    "promise": "It adds new nodes, inputs and outputs to what later versions keep.",
    "structure": "It measures all the code; only --json FILE goes with it.",
}
_WITH_FIGURES = ("demo", "structure")


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        say(USAGE)
        return 0
    command, rest = argv[0], list(argv[1:])
    if {"-h", "--help"} & set(rest) and command in ("serve", "paint", *_WITHOUT_ARGUMENTS):
        say(_SERVE_USAGE if command == "serve" else USAGE)  # before anything is fetched or started
        return 0
    try:
        if command in _WITHOUT_ARGUMENTS:
            _require_no(command, rest)
        if command == "bench" and rest[:1] == ["gpu"]:
            return gpu.run(rest[1:])
        if command == "learn" and learning_bundle.OPTION in rest:
            return learning_bundle.run(rest)
        if command in _PLAIN:
            return _PLAIN[command](rest)
        if command in _IN_VENV:
            return _in_venv(command, rest)
        raise DevError(
            f"There is no command {command!r}.", f"Commands: {', '.join([*_IN_VENV, *_PLAIN])}."
        )
    except DevError as error:
        sys.stderr.write(f"dev.py {command}: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"\ndev.py {command}: stopped. The same command goes on from here.\n")
        return 130


def _require_no(command: str, rest: list[str]) -> None:
    """Raises: DevError for arguments, but for --json of a command whose figures it writes."""
    others, _ = take_json_option(rest) if command in _WITH_FIGURES else (rest, None)
    if others:
        raise DevError(
            f"{command} takes no arguments, got {' '.join(others)}.", _WITHOUT_ARGUMENTS[command]
        )


def _in_venv(command: str, argv: list[str]) -> int:
    """Make the environment ready, then run the command with its Python.

    Here, or in a process of its own.
    """
    environment = prepare()
    if inside_venv():
        return _IN_VENV[command](environment, argv)
    line = [str(environment.python), str(ROOT / "dev.py"), command, *argv]
    if os.name != "nt":
        os.execv(line[0], line)  # one process, so that signals reach the one that has to clean up
    child = subprocess.Popen(line)
    try:
        return child.wait()
    except KeyboardInterrupt:
        return child.wait()  # Ctrl-C went to both; the child cleans up


def _setup(argv: list[str]) -> int:
    environment = prepare()
    fetch_newest(environment.python)
    say(f"ready: ComfyUI {environment.comfyui}, Python {environment.python}")
    return 0


def _demo(environment: Environment, argv: list[str]) -> int:
    from . import demo  # needs packages of .venv

    rest, json_file = take_json_option(argv)
    return report(demo.run(environment, rest), json_file)


def _test(environment: Environment, argv: list[str]) -> int:
    without_browser = "--no-browser" in argv
    given = [argument for argument in argv if argument != "--no-browser"]
    # Much of the time is waiting for a ComfyUI or a browser, so the whole is spread over one
    # process more than there are cores (tests/scheduling.py). A few tests are quicker without.
    processes = str(min((os.cpu_count() or 1) + 1, _TEST_PROCESSES))
    is_whole = not set(given) - {"--long"}
    rest = [*given, *(["--numprocesses", processes, "--dist", "loadfile"] if is_whole else [])]
    if sys.platform == "linux":
        from ..fleet.cli import setup  # of the cluster that tests/fleet starts

        setup()
    variables = dict(os.environ)
    if without_browser:
        rest.append("--ignore=tests/web")
    else:
        variables["ASTRIA_CHROMIUM"] = str(find_chromium())
        fetch_newest(environment.python)
    done = subprocess.run(
        [str(environment.python), "-m", "pytest", *rest], cwd=ROOT, env=variables, check=False
    )
    if without_browser:
        say("The browser tests (tests/web) were not run: --no-browser.")
    return done.returncode


_SERVE_USAGE = """usage: python dev.py serve [--no-browser] [--small-world] [ARGUMENTS OF COMFYUI]

Starts ComfyUI with the pack loaded and opens its editor; Ctrl-C stops it.
--no-browser   only starts it
--small-world  with the models of the small drawn world, its templates and bindings, in a folder of
               its own
Other arguments go to ComfyUI, such as --port 8190, --listen, --lowvram or --cpu; its own list:
python main.py --help, in the folder of ComfyUI."""


def _serve(environment: Environment, argv: list[str]) -> int:
    from . import small_world  # only where it is wanted

    own = {"--no-browser", _SMALL_WORLD}
    extra = tuple(argument for argument in argv if argument not in own)
    is_small = _SMALL_WORLD in argv
    families = small_world.require_families() if is_small else ()
    options = HostOptions(
        small_world.SMALL_BASE if is_small else BASE,
        small_world=is_small,
        cpu=not has_accelerator(environment.python),
        extra_args=extra,
    )
    say("- starting ComfyUI")
    with Host(environment, options) as host:
        if is_small:
            for line in small_world.told(small_world.furnish(host, families[0])):
                say(line)
        say(
            f"ComfyUI with the pack runs at {host.url} (models: {host.base / 'models'}, log:"
            f" {host.log}). Ctrl-C stops it."
        )
        if "--no-browser" not in argv:
            webbrowser.open(host.url)
        assert host.process is not None
        try:
            code = host.process.wait()
        except KeyboardInterrupt:
            say("\nstopped")
            return 0
        raise DevError(f"ComfyUI ended by itself with exit code {code}.", f"Its log: {host.log}")


def _train(environment: Environment, argv: list[str]) -> int:
    from .train import run  # only where it is wanted

    return run(environment, argv, _model_folders(BASE / "user" / STATE_FOLDER))


def _gallery(environment: Environment, argv: list[str]) -> int:
    tests = ("tests/web/test_gallery.py", "tests/web/test_gallery_drawing.py")
    return _photograph(environment, "ASTRIA_GALLERY", GALLERY, *tests)


def _pictures(environment: Environment, argv: list[str]) -> int:
    folder = ROOT / "web" / "docs" / "images"
    return _photograph(
        environment,
        "ASTRIA_HELP_PICTURES",
        folder,
        "tests/web/test_help_pictures.py",
        "tests/web/test_tutorial.py",
    )


def _photograph(environment: Environment, variable: str, folder: Path, *tests: str) -> int:
    """Run the tests that take pictures, and let them keep what they took in `folder`."""
    variables = {**os.environ, "ASTRIA_CHROMIUM": str(find_chromium()), variable: str(folder)}
    return subprocess.run(
        [str(environment.python), "-m", "pytest", "-q", *tests],
        cwd=ROOT,
        env=variables,
        check=False,
    ).returncode


def _workflows(environment: Environment, argv: list[str]) -> int:
    from .workflows import run  # needs packages of .venv

    return run()


def _paint(environment: Environment, argv: list[str]) -> int:
    from .painting import run  # needs packages of .venv

    return run(environment, argv)


def _definitions(environment: Environment, argv: list[str]) -> int:
    from .definitions import SNAPSHOT, write_snapshot
    from .locales import ENGLISH, node_texts, text_of

    with Host(environment, HostOptions(DEV / "definitions", test_pack=False)) as host:
        info = host.client.object_info()
    write_snapshot(info)
    ENGLISH.parent.mkdir(parents=True, exist_ok=True)
    ENGLISH.write_text(text_of(node_texts(info)), encoding="utf-8")
    say(f"written: {SNAPSHOT.relative_to(ROOT)}, {ENGLISH.relative_to(ROOT)}")
    return 0


def _promise(argv: list[str]) -> int:
    from .promises import run

    return run()


def _structure(argv: list[str]) -> int:
    from . import structure

    _, json_file = take_json_option(argv)
    measured = structure.measures()
    say(structure.details(measured))
    return report([one.figure() for one in measured], json_file)


def _bench(environment: Environment, argv: list[str]) -> int:
    rest, json_file = take_json_option(argv)
    figures = run_benchmarks(environment, rest)
    return report(figures, json_file) if figures else 0


def _learn(environment: Environment, argv: list[str]) -> int:
    from ..smallworld import learning  # needs packages of .venv

    return learning.run(argv)


def _bind(argv: list[str]) -> int:
    from ..nodes.tunes.cli import main as bind

    rest, folder = _state_folder(argv)
    given = {"models": _model_folders(folder), "command": _bind_command(argv, rest, folder)}
    return bind(rest, folder=folder, write=say, **given)


def _fleet(argv: list[str]) -> int:
    from ..fleet.cli import run  # only where it is wanted

    return run(argv)


def _explain(argv: list[str]) -> int:
    return _pipeline("explain", argv)


def _compile(argv: list[str]) -> int:
    return _pipeline("compile", argv)


def _pipeline(command: str, argv: list[str]) -> int:
    from ..nodes.pipeline.cli import main as pipeline

    rest, folder = _state_folder(argv)
    models, bind = _model_folders(folder), _bind_command(argv, rest, folder)
    own = comfyui.own_path() if folder == BASE / "user" / STATE_FOLDER else None
    beside = own / "user" / STATE_FOLDER if own else None
    given = {"folder": folder, "beside": beside, "models": models, "bind": bind}
    return pipeline([command, *rest], write=say, **given)


def _model_folders(folder: Path) -> list[Path]:
    """Return the model folders of the ComfyUI whose private folder this is.

    With our own base directory also those of COMFYUI_PATH, which that ComfyUI then uses. Folders
    that only its extra_model_paths.yaml names are not read, which is told.
    """
    own = comfyui.own_path()
    for path in (folder.parent.parent, *([own] if own else [])):
        if (path / _EXTRA_PATHS).exists():
            # Not on standard output, which may be a workflow.
            sys.stderr.write(
                f"{path / _EXTRA_PATHS} is not read here: what lies only in folders that it names"
                " counts as missing. Astria Explain and Astria Compile in ComfyUI see it.\n"
            )
    return [folder.parent.parent / "models", *([own / "models"] if own else [])]


def _bind_command(argv: Sequence[str], rest: Sequence[str], folder: Path) -> str:
    """Return the command that binds a file there."""
    from ..nodes.tunes.names import shell_word
    from ..nodes.tunes.resolve import BIND_COMMAND

    if list(rest) == list(argv):
        return BIND_COMMAND
    return f"{BIND_COMMAND} --comfyui {shell_word(str(folder.parent.parent))}"


def _state_folder(argv: Sequence[str]) -> tuple[list[str], Path]:
    """Return the arguments without `--comfyui PATH`, and the pack's private folder in that ComfyUI,
    or in our own base directory.
    """
    rest = list(argv)
    if "--comfyui" not in rest:
        return rest, BASE / "user" / STATE_FOLDER
    at = rest.index("--comfyui")
    path = Path(rest[at + 1]) if at + 1 < len(rest) else None
    # A base directory (ComfyUI's own --base-directory) has the user's files without the program.
    if path is None or not ((path / "main.py").is_file() or (path / "custom_nodes").is_dir()):
        text = (
            f"--comfyui {path or ''} is not a folder of ComfyUI: it has neither main.py nor"
            " custom_nodes."
        )
        raise DevError(
            text,
            "Give the folder that holds ComfyUI's main.py, or the one given to it as"
            " --base-directory.",
        )
    return rest[:at] + rest[at + 2 :], path / "user" / STATE_FOLDER


_IN_VENV: dict[str, Callable[[Environment, list[str]], int]] = {
    "demo": _demo,
    "test": _test,
    "serve": _serve,
    "train": _train,
    "bench": _bench,
    "learn": _learn,
    "gallery": _gallery,
    "pictures": _pictures,
    "workflows": _workflows,
    "paint": _paint,
    "definitions": _definitions,
}
_PLAIN: dict[str, Callable[[list[str]], int]] = {
    "setup": _setup,
    "bind": _bind,
    "explain": _explain,
    "compile": _compile,
    "fleet": _fleet,
    "clean-metadata": clean_metadata.run,
    "promise": _promise,
    "structure": _structure,
}
