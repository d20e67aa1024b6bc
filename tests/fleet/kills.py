"""What is killed in the middle of prompts."""

from __future__ import annotations

from .cluster import Cluster


def kill_comfyui(cluster: Cluster) -> None:
    """Kill a worker's ComfyUI."""
    cluster.fake_of("m1").kill()


def kill_actor(cluster: Cluster) -> None:
    """Kill the actor that a ComfyUI belongs to."""
    parent = cluster.fake_of("m2").parent()
    assert parent is not None
    parent.kill()


def kill_node(cluster: Cluster) -> None:
    """Kill a machine's node, and have it join again."""
    cluster.kill_node("m2")
    cluster.start_nodes("m2")


def kill_dispatcher(cluster: Cluster) -> None:
    """Kill the dispatcher, and start another."""
    cluster.stop_dispatcher()
    cluster.start_dispatcher()


KILLS = (kill_comfyui, kill_actor, kill_dispatcher, kill_node)
