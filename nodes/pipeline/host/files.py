"""Files of ComfyUI's input and output folders.

Pictures that a plan loads, workflows that it writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import folder_paths

from ...errors import MissingModelError, PlanError
from ...graph.graph import Graph
from ...prompt.images import placed
from ...tunes.file_search import Missing


def save_workflow(text: str, filename_prefix: str) -> str:
    """Write a workflow below the output folder under the next free number; return its name there.

    Raises: PlanError when the prefix leads out of the output folder.
    """
    output = Path(folder_paths.get_output_directory())
    target = (output / filename_prefix).resolve()
    if not target.is_relative_to(output.resolve()) or target == output.resolve():
        text = f"The file name '{filename_prefix}' leads out of the output folder."
        raise PlanError(text, code="bad-file-name", hint="Use a name such as workflows/astria.")
    folder, name, counter, _, _ = folder_paths.get_save_image_path(filename_prefix, str(output))
    path = Path(folder) / f"{name}_{counter:05}_.json"
    path.write_text(text, encoding="utf-8")
    return str(path.relative_to(output))


def check_input_files(graph: Graph) -> None:
    """Return when every input picture that the graph loads is in the input folder.

    ComfyUI checks this for nodes of a queued workflow, not for those another node expands into.
    Raises: MissingModelError naming the files and the folder.
    """
    loaders = ("LoadImage", "LoadImageMask")
    absent = absent_inputs(
        str(call.inputs["image"]) for call in graph.nodes.values() if call.class_type in loaders
    )
    if absent:
        raise MissingModelError(
            "\n".join(one.message for one in absent), code="missing-input", hint=absent[0].hint
        )


def absent_inputs(names: Iterable[str]) -> tuple[Missing, ...]:
    """Return those of the pictures that are not in the folder that they name, else the input
    folder.
    """
    hint = "Put the file there, or connect the image."
    absent = [
        name for name in dict.fromkeys(names) if not folder_paths.exists_annotated_filepath(name)
    ]
    return tuple(
        Missing(
            "input picture",
            name,
            f"The prompt names {name!r}, not found in ComfyUI's {_where(name)}.",
            hint,
        )
        for name in absent
    )


def _where(name: str) -> str:
    _, folder = placed(name)
    return f"{folder} folder {folder_paths.get_directory_by_type(folder)}"
