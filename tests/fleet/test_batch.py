"""`python dev.py fleet run`: a file of prompts on a cluster here, stopped, and gone on with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from comfyui_astria.devtools.paths import FLEET_VENV, ROOT, venv_python
from comfyui_astria.fleet.environment import variables
from comfyui_astria.tests.fleet.cluster import WAIT_S, Cluster, cluster_in
from comfyui_astria.tests.fleet.test_sources import BINDINGS

PROMPTS = 8


def run(cluster: Cluster) -> subprocess.CompletedProcess[str]:
    """Run the file, as `python dev.py fleet run` does."""
    line = [str(venv_python(FLEET_VENV)), str(ROOT / "dev.py"), "fleet", "run"]
    given = ["--comfyui", str(cluster.folder / "api"), "--token", str(cluster.token)]
    files = [str(cluster.folder / "prompts.jsonl"), "--out", str(cluster.folder / "out")]
    return subprocess.run(
        [*line, *files, "--address", cluster.address, *given],
        env={**variables(cluster.token), "ASTRIA_FLEET_INSIDE": "1"},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


@pytest.mark.long
@pytest.mark.skipif(
    sys.platform != "linux" or not (FLEET_VENV / ".packages").is_file(),
    reason="a fleet runs on Linux, after `python dev.py fleet setup`",
)
def test_a_file_of_prompts_is_run_and_only_what_is_left_again(tmp_path: Path) -> None:
    with cluster_in(tmp_path, ("m1",)) as cluster:
        cluster.furnish()
        (cluster.state / "bindings.ini").write_text(BINDINGS, encoding="utf-8")
        models = cluster.folder / "api" / "models" / "checkpoints"
        models.mkdir(parents=True)
        (models / "a.safetensors").touch()
        lines = [{"text": f"a cat {number}", "w": 64, "h": 64} for number in range(PROMPTS)]
        text = "\n".join(json.dumps(one) for one in lines)
        (cluster.folder / "prompts.jsonl").write_text(text, encoding="utf-8")
        done = run(cluster)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"{PROMPTS} of {PROMPTS}, 0 failed" in done.stdout
        out = cluster.folder / "out"
        told = [json.loads(one) for one in (out / "manifest.jsonl").read_text().splitlines()]
        assert sorted(one["line"] for one in told) == list(range(1, PROMPTS + 1))
        assert {name for one in told for name in one["files"]} == {
            path.name for path in out.glob("*.png")
        }
        (out / "000003_01.png").unlink()
        again = run(cluster)
        assert again.returncode == 0, again.stdout + again.stderr
        assert f"1 prompts to run, {PROMPTS - 1} done already" in again.stdout
        assert len(cluster.runs) == PROMPTS + 1
