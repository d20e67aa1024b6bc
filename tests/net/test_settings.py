"""api.ini."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_astria.nodes.api.callbacks import DELAYS_S, next_attempt
from comfyui_astria.nodes.net.problems import ApiError
from comfyui_astria.nodes.net.settings import ApiSettings, load, parse


def test_a_missing_file_sets_nothing(tmp_path: Path) -> None:
    assert load(tmp_path / "api.ini") == ApiSettings()


def test_settings_are_read(tmp_path: Path) -> None:
    path = tmp_path / "api.ini"
    path.write_text(
        "\ufeff# mine\nkey = a-secret-key\nfetch_urls = yes\nprivate_hosts = box.lan, [::1],"
        " 192.168.1.9\nmax_image_mb=7\npublic_url = https://a.example\n",
        encoding="utf-8",
    )
    found = load(path)
    assert found == ApiSettings(
        "a-secret-key",
        True,
        private_hosts=("box.lan", "::1", "192.168.1.9"),
        max_image_mb=7,
        public_url="https://a.example",
    )
    assert found.image_bytes == 7_000_000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("keys = x", "'keys' is no setting"),
        ("key", "it is no setting, for it has no '='"),
        ("fetch_urls = maybe", "yes or no"),
        ("max_images = 0", "whole number"),
        ("max_images = -1", "whole number"),
        ("public_url = a.example", "https://host"),
        ("private_hosts = a b", "commas"),
        ("max_images=1\nmax_images=2", "twice"),
    ],
)
def test_a_slip_is_told_with_its_line(line: str, message: str) -> None:
    with pytest.raises(ApiError, match=message) as refused:
        parse(line, "api.ini")
    assert refused.value.message.startswith("api.ini, line ")
    assert refused.value.status == 503


@pytest.mark.parametrize("line", ["key: a-secret-key", "a-secret-key"])
def test_a_line_that_may_be_the_key_is_refused_without_telling_it(line: str) -> None:
    with pytest.raises(ApiError, match="line 1") as refused:
        parse(line, "api.ini")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["", "short", "with a blank", "kéykéykéy"])
def test_a_bad_key_is_refused_without_telling_it(key: str) -> None:
    with pytest.raises(ApiError, match="the key needs 8 characters") as refused:
        parse(f"key = {key}", "api.ini")
    assert not key or key not in str(refused.value)


def test_callbacks_are_tried_at_growing_distances_and_not_for_ever() -> None:
    moments = [next_attempt(attempts, 1000.0) for attempts in range(1, len(DELAYS_S) + 2)]
    assert moments[:-1] == sorted(moments[:-1])
    assert moments[0] == 1000.0 + DELAYS_S[0]
    assert moments[-1] is None
