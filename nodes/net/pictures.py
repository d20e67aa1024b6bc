"""Pictures that come as a web address or as base64 text -> files of ComfyUI's input folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import PlanError
from ..prompt import ImageRef
from . import settings as api_settings
from .fetching import Fetching

# A folder of their own: the HTTP API removes those pictures from the one above that none of its
# prompts names.
FOLDER = "astria/fetched"


@dataclass(frozen=True)
class PictureStore:
    """The folder for pictures of prompts, and the owner's settings for them.

    ComfyUI's input folder, and the API's settings.
    """

    input_folder: Path
    settings_file: Path

    def fetching(self) -> Fetching:
        """Return the fetcher for the pictures of one request.

        Raises: ApiError for a slip in the settings.
        """
        return Fetching(api_settings.load(self.settings_file), str(self.settings_file))

    def file_of(self, picture: ImageRef, fetching: Fetching) -> str:
        """Return the name below the input folder of the file that a picture has become.

        The hash of its content. A web address is fetched.

        Raises: AstriaError for an address that is refused or gives nothing, for what is no picture
        of bounded size, and where it cannot be put.
        """
        try:
            # By Pillow, which the command line may lack.
            from .files import from_base64, picture_name, put_whole
        except ModuleNotFoundError as error:
            hint = "Run this with the Python of ComfyUI, or name a file in ComfyUI's input folder."
            raise PlanError(
                f"it cannot be looked at: this Python has no {error.name}",
                code="no-pillow",
                hint=hint,
            ) from error
        most_bytes = api_settings.load(self.settings_file).image_bytes
        is_url = picture.kind == "url"
        content = (
            fetching.get(picture.value, "the picture")
            if is_url
            else from_base64(picture.value, "the picture", most_bytes)
        )
        name = f"{FOLDER}/{picture_name(content, 'the picture', most_bytes)}"
        try:
            put_whole(self.input_folder / name, content)
        except OSError as error:
            text = f"it cannot be written to {self.input_folder / FOLDER}: {error.strerror}"
            raise PlanError(
                text, code="picture-not-written", hint="Check the folder's rights and free space."
            ) from error
        return name
