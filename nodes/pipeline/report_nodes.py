"""The node that adds another node's notes to a report."""

from __future__ import annotations

from comfy_api.latest import io

from .notes import added


class AstriaAddToReport(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="AstriaAddToReport",
            display_name="Astria Add To Report",
            category="astria",
            description=(
                "A report with what another node tells, each line once. Astria Generate gathers by"
                " it what the nodes inside it tell."
            ),
            search_aliases=["join report", "append text"],
            inputs=[
                io.String.Input(
                    "report",
                    force_input=True,
                    tooltip="The report so far.",
                ),
                io.String.Input("note", force_input=True, tooltip="An info output."),
            ],
            outputs=[io.String.Output(display_name="report")],
        )

    @classmethod
    def execute(cls, report: str, note: str) -> io.NodeOutput:
        return io.NodeOutput(added(report, note))


NODES = [AstriaAddToReport]
