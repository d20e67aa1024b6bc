"""What the owner of the host decides: settings, the key, and hands on ComfyUI's own queue."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from comfyui_astria.tests.host.api_support import (
    SMALL,
    Api,
    Receiver,
    api_of,
    png,
    problems,
    settings_of,
    until,
)
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.host.tiny_lora import write_tiny_lora

SLOW = {"w": 192, "h": 192, "steps": 50, "num_images": 2}
KEY = "a-key-of-the-owner"


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    return api_of(host)


def started(api: Api, text: str = "slow") -> dict:
    """Make a prompt that takes long, and return once it runs."""
    prompt = api.create_prompt(text, **SLOW)
    until(lambda: api.get(f"/tunes/690204/prompts/{prompt['id']}").json()["started_training_at"])
    return prompt


def outputs(host: LiveHost) -> int:
    return len(list((host.base / "output").rglob("*.png")))


def test_an_interrupted_run_says_so_and_the_next_goes_on(api: Api, host: LiveHost) -> None:
    slow, behind = started(api), api.create_prompt("behind")
    host.client.post_json("/interrupt", {})
    assert api.finished(slow)["user_error"] == "It was interrupted."
    assert api.finished(behind)["user_error"] is None


def test_deleting_a_prompt_ends_its_run_or_its_waiting(api: Api, host: LiveHost) -> None:
    before = outputs(host)
    slow, waiting, behind = started(api), api.create_prompt("waiting"), api.create_prompt("behind")
    for prompt in (waiting, slow):
        assert api.delete(f"/tunes/690204/prompts/{prompt['id']}").status_code == 200
        assert api.get(f"/tunes/690204/prompts/{prompt['id']}").status_code == 404
    assert api.finished(behind)["user_error"] is None
    assert outputs(host) == before + 1
    assert {one["id"] for one in api.get("/tunes/690204/prompts").json()} & {
        slow["id"],
        waiting["id"],
    } == set()


def test_prompts_that_are_taken_off_the_queue_by_hand_are_not_lost_silently(
    api: Api, host: LiveHost
) -> None:
    slow, waiting = started(api), [api.create_prompt(f"waiting {number}") for number in range(2)]
    host.client.post_json("/queue", {"clear": True})
    for prompt in waiting:
        assert api.finished(prompt)["user_error"].startswith("It was taken off ComfyUI's queue")
    api.delete(f"/tunes/690204/prompts/{slow['id']}")


def test_no_more_prompts_wait_than_the_owner_allows(api: Api, host: LiveHost) -> None:
    slow = started(api)
    with settings_of(host, "max_waiting = 1\n"):
        answer = api.post("/generate", json={"prompt": "one more", **SMALL})
        assert (answer.status_code, answer.json()["error"]["type"]) == (429, "queue-full")
    api.delete(f"/tunes/690204/prompts/{slow['id']}")


def test_the_key_is_asked_for_and_read_anew_at_each_request(api: Api, host: LiveHost) -> None:
    with settings_of(host, f"key = {KEY}\n"):
        for program in (api, Api(host.url, "another-key"), Api(host.url, f"{KEY}x")):
            for answer in (
                program.get("/tunes"),
                program.get("/openapi.json"),
                program.post("/generate", json={"prompt": "a cat"}),
            ):
                assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert KEY not in answer.text
        assert Api(host.url, KEY).get("/tunes").status_code == 200
    for header in ("X-Forwarded-For", "Forwarded"):
        assert api.get("/tunes", headers={header: "203.0.113.9"}).status_code == 401, (
            "a proxy hands on what anybody sends"
        )
    assert api.get("/tunes").status_code == 200


def test_a_slip_in_the_settings_is_told_to_whoever_asks(api: Api, host: LiveHost) -> None:
    with settings_of(host, "# mine\nkeys = x\n"):
        answer = api.get("/tunes")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "api-settings")
        assert "line 2: 'keys' is no setting" in answer.json()["error"]["message"]
        assert str(host.base) not in answer.text


@pytest.mark.parametrize(
    ("settings", "headers"),
    [("", {"X-Forwarded-For": "203.0.113.9"}), ("", {"Host": "evil.example"}), ("key: x", {})],
)
def test_who_may_not_ask_learns_no_folder_of_this_machine(
    api: Api, host: LiveHost, settings: str, headers: dict
) -> None:
    with settings_of(host, settings):
        answer = api.get("/tunes", headers=headers)
        assert answer.status_code in (401, 403, 503)
        assert "api.ini" in answer.text
        assert str(host.base) not in answer.text


def tune(api: Api, title: str, **more: object) -> dict:
    files = [("tune[images][]", ("1.png", png()))]
    answer = api.post(
        "/tunes", data={"tune[title]": title, "tune[model_type]": "faceid", **more}, files=files
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_equal_requests_give_one_thing_only_where_the_owner_says_so(
    api: Api, host: LiveHost
) -> None:
    with ThreadPoolExecutor(8) as pool:
        with settings_of(host, "idempotent = yes\n"):
            assert (
                len(
                    {one["id"] for one in pool.map(lambda _: tune(Api(host.url), "twin"), range(8))}
                )
                == 1
            )
            same = list(pool.map(lambda _: Api(host.url).create_prompt("twin", seed=1), range(8)))
            assert len({one["id"] for one in same}) == 1
            assert api.create_prompt("twin", seed=2)["id"] != same[0]["id"]
            assert api.finished(same[0])["images"] == api.create_prompt("twin", seed=1)["images"], (
                "done ones count too"
            )
        assert (
            len({one["id"] for one in pool.map(lambda _: tune(Api(host.url), "twin"), range(2))})
            == 2
        )
        assert (
            len({api.create_prompt("twin", seed=1)["id"] for _ in range(2)} - {same[0]["id"]}) == 2
        )


def test_callbacks_bring_the_object_as_it_is(api: Api, host: LiveHost) -> None:
    with Receiver() as receiver:
        assert (
            problems(
                api.post("/generate", json={"prompt": "a cat", "callback": receiver.url, **SMALL})
            )[0]["code"]
            == "bad-address"
        )
        with settings_of(host, "private_hosts = 127.0.0.1\nidempotent = yes\n"):
            done = api.finished(api.create_prompt("called back", callback=receiver.url))
            failed = api.finished(
                api.create_prompt(
                    "--outpaint center --outpaint_width 96 --outpaint_height 96",
                    callback=receiver.url,
                    input_image=broken(host),
                    denoising_strength=0,
                )
            )
            made = [tune(api, "called back", **{"tune[callback]": receiver.url}) for _ in range(2)]
            until(lambda: len(receiver.arrived) == 4)
        bodies = [body for _, body in receiver.arrived]
        of_done = {**done, "prompt": done}
        assert [one for one in bodies if one["id"] == done["id"] and "prompt" in one] == [of_done]
        assert [one for one in bodies if one.get("user_error")] == [{**failed, "prompt": failed}]
        assert [one for one in bodies if "tune" in one] == [{**one, "tune": one} for one in made], (
            "whoever asks again is called again"
        )
        with settings_of(host, "private_hosts = 127.0.0.1\ncallbacks = no\n"):
            silent = api.create_prompt("not called back", callback=receiver.url)
            assert silent["notices"] == ["No callback is sent: callbacks = no in api.ini."]
            assert (
                silent["notices"][0]
                in tune(api, "not called back", **{"tune[callback]": receiver.url})["notices"]
            )
            api.finished(silent)
        assert len(receiver.arrived) == 4


def broken(host: LiveHost) -> str:
    (host.base / "input" / "no_picture.png").write_bytes(b"no picture")
    return "no_picture.png"


def test_a_model_file_goes_with_the_last_tune_that_brought_it_and_never_the_owners(
    api: Api, host: LiveHost
) -> None:
    folder = host.loras / "astria"
    write_tiny_lora(host.loras, "sd15", "own.safetensors")
    folder.mkdir(exist_ok=True)
    shutil.copy(host.loras / "own.safetensors", folder / "own.safetensors")
    content = (host.loras / "own.safetensors").read_bytes()
    first = api.post(
        "/tunes",
        data={"title": "first", "model_type": "lora"},
        files={"file": ("a.safetensors", content)},
    ).json()
    [uploaded] = set(folder.iterdir()) - {folder / "own.safetensors"}
    second, owners = (
        api.post(
            "/tunes", json={"title": "named", "model_type": "lora", "file": f"astria/{name}"}
        ).json()
        for name in (uploaded.name, "own.safetensors")
    )
    api.delete(f"/tunes/{first['id']}")
    api.delete(f"/tunes/{owners['id']}")
    assert set(folder.iterdir()) == {uploaded, folder / "own.safetensors"}
    api.delete(f"/tunes/{second['id']}")
    assert set(folder.iterdir()) == {folder / "own.safetensors"}
