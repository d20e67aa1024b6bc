"""Models beside MODEL, CLIP and VAE.

A connected one, else the one bound to its role, loaded by the node that loads its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...control.modes import FLUX_NUMBERS, SDXL_NUMBERS
from ...families.family import Family
from ...graph.graph import Graph, Link, Value
from ...graph.sockets import NO_FILE
from ...tunes.file_search import Missing
from ...tunes.resolve import Resolver


@dataclass(frozen=True)
class Loader:
    """The node that loads a role's model, its input that names the file, and the socket that stands
    for the model.
    """

    class_type: str
    file_input: str
    socket: str
    also: Mapping[str, Value] = field(default_factory=dict)  # what else the node wants


LOADERS: Mapping[str, Loader] = {
    "upscaler": Loader("UpscaleModelLoader", "model_name", "upscale_model"),
    "controlnet_pose": Loader("ControlNetLoader", "control_net_name", "pose_controlnet"),
    "control_patch": Loader("ModelPatchLoader", "name", ""),
    "pose_estimator": Loader("CheckpointLoaderSimple", "ckpt_name", ""),
    "depth_estimator": Loader("LoadDA3Model", "model_name", "", {"weight_dtype": "default"}),
    "background_removal": Loader(
        "LoadBackgroundRemovalModel", "bg_removal_name", "background_model"
    ),
    "face_analysis": Loader("AstriaLoadFaceAnalysis", "pack", "face_analysis"),
    "face_detector": Loader("LoadMediaPipeFaceLandmarker", "model_name", ""),
    "face_analysis_pulid": Loader("AstriaLoadFaceAnalysis", "pack", ""),
    "clip_vision": Loader("CLIPVisionLoader", "clip_name", ""),
    "face_restorer": Loader("UpscaleModelLoader", "model_name", "face_restorer"),
    "face_swapper": Loader("AstriaLoadFaceSwapper", "swapper_name", "face_swapper"),
}
CONTROLNET = Loader("ControlNetLoader", "control_net_name", "controlnet")
# The host runs it without a package of its own.
ONLY_FINDS = (
    "Or bind face_detector to MediaPipe's model, which needs no further package: it finds faces and"
    " cannot tell whose they are, so face_swap and <faceid:...> go without."
)
UNION = "controlnet_union"
OWN_SOCKETS = ("upscale_model", "pose_controlnet")  # of Astria Generate itself
_UNION_KINDS = {*SDXL_NUMBERS, *FLUX_NUMBERS}  # those that some union was trained on
SEGMENTER_ROLES = ("background_removal", "sam3", "grounding_dino", "sam", "clipseg")


class ModelLoaders:
    """Gives each stage its models.

    What is bound is loaded once, by a node of the group `models`.
    """

    def __init__(
        self,
        graph: Graph,
        resolver: Resolver,
        connected: Mapping[str, Value],
        family: Family,
        connected_control: str | None = None,
        *,
        are_sockets: bool = False,
    ) -> None:
        """`connected_control` is the kind that the one connected ControlNet is for, where the
        request asks for one; `are_sockets` says that models can be connected, so that hints say
        so.
        """
        self.graph = graph
        self._resolver = resolver
        self._connected = connected
        self.family = family
        self._connected_control = connected_control
        self._are_sockets = are_sockets
        self._loaded: dict[str, Link] = {}
        self._checkpoints: dict[str, int] = {}  # file -> number of its node

    def model(self, role: str) -> Value | Missing:
        """Return the model of a role.

        What is connected to its socket, else a node that loads the file bound to it.
        """
        loader = LOADERS[role]
        if loader.socket in self._connected:
            return self._connected[loader.socket]
        return self._bound(role, loader)

    def optional(self, role: str) -> str | Missing:
        """Return the file bound to a role for an input that may be left out.

        Bound to a file that is not there, it is missing.
        """
        return self._resolver.role(role, self.family.branch) if self.is_bound(role) else NO_FILE

    def is_bound(self, role: str) -> bool:
        """Say whether a file is bound to a role, whether or not it is there."""
        return self._resolver.has_role(role, self.family.branch)

    def controlnet(self, kind: str) -> Value | Missing:
        """Return the ControlNet of a kind, told which kind is meant.

        Connected, bound for the kind, or the bound one that knows every kind. Any of them may be a
        union, and which number that one knows the kind by is for the node to see.
        """
        if kind in self.family.patched_controls:
            return self._control_patch(kind)
        if not self.family.takes_control(kind):
            return self.no_controlnet(kind)
        found = self._any_controlnet(kind)
        if isinstance(found, Missing):
            return found
        return self._once(f"{kind}_mode", "AstriaControlNetMode", control_net=found, kind=kind)

    def _control_patch(self, kind: str) -> Value | Missing:
        socket = LOADERS.get(f"controlnet_{kind}", CONTROLNET).socket
        if socket not in self._connected:
            return self.model("control_patch")
        text = f"{socket} is connected, and on {self.family.title} a ControlNet patches the model."
        hint = "Disconnect it, and bind its file as control_patch."
        return Missing("ControlNet", "control_patch", text, hint)

    def no_controlnet(self, kind: str) -> Missing:
        """Return what is said where none of a kind can steer the family."""
        text, hint = f"no ControlNet is used on {self.family.title} yet.", "Leave it out"
        if kinds := self.family.patched_controls:
            text = f"no ControlNet of {self.family.title} knows {kind}."
            hint = f"Those that are known: {', '.join(kinds)}. Or leave it out"
        hint = f"{hint}, or use a model of another family."
        return Missing("ControlNet", f"controlnet_{kind}", text, hint)

    def _any_controlnet(self, kind: str) -> Value | Missing:
        role = f"controlnet_{kind}"
        loader = LOADERS.get(role, CONTROLNET)
        if loader.socket in self._connected and (
            loader is not CONTROLNET or self._is_connected_for(kind)
        ):
            return self._connected[loader.socket]
        if self.is_bound(role) or not self.is_bound(UNION) or kind not in _UNION_KINDS:
            own = self._bound(role, loader)
            is_other_connected = isinstance(own, Missing) and loader.socket in self._connected
            return (
                replace(
                    own,
                    hint=f"{own.hint} The connected ControlNet is for {self._connected_control}.",
                )
                if is_other_connected
                else own
            )
        return self._bound(UNION, CONTROLNET)

    def _is_connected_for(self, kind: str) -> bool:
        """Say whether the one connected ControlNet is meant.

        Where the request asks for none, by --tiled_upscale_v2 with nothing bound for it.
        """
        if self._connected_control is not None:
            return kind == self._connected_control
        return not self.is_bound(f"controlnet_{kind}") and not self.is_bound(UNION)

    def checkpoint(self, file: str) -> Link:
        """Return a node that loads the checkpoint of one or more persons.

        MODEL, CLIP and VAE are its outputs.
        """
        number = self._checkpoints.setdefault(file, len(self._checkpoints) + 1)
        return self._once(f"person_checkpoint_{number}", "CheckpointLoaderSimple", ckpt_name=file)

    def face_analysis(self, *, for_pulid: bool) -> Value | Missing:
        """Return what finds and tells apart faces.

        PuLID knows faces by a recogniser of its own, so what is bound for it wins.
        """
        own = (
            self._bound("face_analysis_pulid", LOADERS["face_analysis_pulid"])
            if for_pulid
            else None
        )
        if own is None or (isinstance(own, Missing) and "face_analysis" in self._connected):
            return self.model("face_analysis")
        return own

    def face_detection(self) -> Value | Missing:
        """Return what finds the faces of a picture.

        The bound detector, with what tells faces apart where that is bound; else the latter alone.
        """
        if "face_analysis" in self._connected or not self.is_bound("face_detector"):
            found = self.model("face_analysis")
            return (
                replace(found, hint=f"{found.hint} {ONLY_FINDS}")
                if isinstance(found, Missing)
                else found
            )
        pack, detector = self.optional("face_analysis"), self.model("face_detector")
        if isinstance(pack, Missing):
            return pack
        return (
            detector
            if isinstance(detector, Missing)
            else self._once(
                "face_detection", "AstriaLoadFaceAnalysis", pack=pack, mediapipe=detector
            )
        )

    def segmenter(self) -> Value | Missing:
        """Return what turns words into masks.

        Connected, else made of everything that is bound for it.
        """
        if "segmenter" in self._connected:
            return self._connected["segmenter"]
        found = {role: self.optional(role) for role in SEGMENTER_ROLES}
        lost = next((file for file in found.values() if isinstance(file, Missing)), None)
        if lost is not None:
            return lost
        files = {role: file for role, file in found.items() if isinstance(file, str)}
        if all(file == NO_FILE for file in files.values()):
            tried = self._resolver.role("sam3", self.family.branch)
            assert isinstance(tried, Missing), "no file is bound to it"
            text = (
                "no model that turns words into masks is connected or bound"
                f" ({', '.join(SEGMENTER_ROLES)}). For one of them, {tried.message}"
            )
            return Missing("segmenter", "segmenter", text, tried.hint)
        return self._once("segmenter", "AstriaLoadSegmenter", **files)

    def faceid(self, role: str, kind: str) -> Value | Missing:
        """Return the FaceID adapter of the family, with the vision models bound beside it."""
        if "faceid" in self._connected:
            return self._connected["faceid"]
        file = self._resolver.role(role, self.family.branch)
        if isinstance(file, Missing):
            return file
        # Widgets that the editor always sends stand in both forms of a workflow.
        inputs: dict[str, Value] = {"faceid_name": file, "kind": kind}
        if self.family.identity == "pulid":  # PuLID reads photos by both
            beside = {
                role: self._resolver.role(role, self.family.branch)
                for role in ("eva_clip", "face_parsing")
            }
        else:
            # The files named FaceID Plus also read the photos themselves; those named Portrait
            # never do.
            is_seen = kind != "portrait" and (
                "plus" in file.lower() or self.is_bound("clip_vision")
            )
            seen = {"clip_vision": self.model("clip_vision")} if is_seen else {}
            beside = {"eva_clip": NO_FILE, "face_parsing": NO_FILE, **seen}
        lost = [value for value in beside.values() if isinstance(value, Missing)]
        if lost:
            return replace(
                lost[0],
                message="\n".join(one.message for one in lost),
                hint="\n".join(one.hint for one in lost),
            )
        return self._once(role, "AstriaLoadFaceID", **inputs, **beside)

    def _bound(self, role: str, loader: Loader) -> Link | Missing:
        file = self._resolver.role(role, self.family.branch)
        if isinstance(file, Missing):
            return self._or_connect(file, loader.socket)
        return self._once(role, loader.class_type, **{loader.file_input: file}, **loader.also)

    def _or_connect(self, missing: Missing, socket: str) -> Missing:
        """Return what is missing with the other way to give it: a link to its socket."""
        if not (self._are_sockets and socket):
            return missing
        place = "to this node" if socket in OWN_SOCKETS else "by Astria Models"
        hint = f"Connect {socket} {place}, or {missing.hint[:1].lower()}{missing.hint[1:]}"
        return replace(missing, hint=hint)

    def _once(self, name: str, class_type: str, /, **inputs: Value) -> Link:
        if name not in self._loaded:
            self._loaded[name] = self.graph.add(f"models.{name}", class_type, **inputs)
        return self._loaded[name]
