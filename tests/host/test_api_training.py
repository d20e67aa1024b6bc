"""Training over the API on the live host: asked for, refused, watched, ended, called back."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests
from comfyui_astria.nodes.net.writing import held_apart
from comfyui_astria.nodes.training.progress import TRAINING, change_progress
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

AGREED = "people_agreed = yes\nprivate_hosts = 127.0.0.1\n"
PHOTOS = [base64.b64encode(png(64, 64, seed=seed)).decode() for seed in range(4)]
WOMAN = {"title": "Anna", "name": "woman", "model_type": "lora", "images": PHOTOS}


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    return api_of(host)


def ask(api: Api, **about: Any) -> requests.Response:
    return api.post("/tunes", json={"tune": {**WOMAN, **about}})


def test_what_cannot_be_trained_is_refused_at_once_and_whole(api: Api, host: LiveHost) -> None:
    (host.state / "training" / "agreed.json").unlink(missing_ok=True)
    before = api.get("/tunes").json()
    wrong = {"images": PHOTOS[:3], "token": "two words", "name": "<lora:1>", "steps": 10001}
    answer = ask(api, **wrong)
    assert answer.status_code == 422
    told = {one["field"]: one for one in problems(answer)}
    assert list(told) == ["token", "name", "steps", "", "images"]
    assert "4 to 20" in told["images"]["message"]
    assert (told[""]["code"], "people_agreed = yes" in told[""]["hint"]) == (
        "training-agreement",
        True,
    )
    urls = [f"https://example.com/{number}.jpg" for number in range(4)]
    with settings_of(host, "fetch_urls = yes\n"):
        [told] = problems(ask(api, images=[], image_urls=urls))
    assert told["code"] == "training-agreement", "nothing is fetched for what is refused already"
    with settings_of(host, AGREED):
        single = {
            "images": {"images": [*PHOTOS[:3], PHOTOS[0]]},
            "preset": {"preset": "flux-lora-portrait", "base_tune_id": 690204},
            "base_tune_id": {"base_tune_id": 7},
            "branch": {"branch": "sdxl1", "base_tune_id": 690204},
            "model_type": {"model_type": None, "base_tune_id": 1504944},
        }
        for field, about in single.items():
            answer = ask(api, **about)
            assert (answer.status_code, [one["field"] for one in problems(answer)]) == (
                422,
                [field],
            ), answer.text
    assert api.get("/tunes").json() == before


def test_a_gguf_base_and_no_base_are_refused(api: Api, host: LiveHost) -> None:
    bindings = host.state / "bindings.ini"
    before = bindings.read_text(encoding="utf-8")
    model = host.base / "models" / "diffusion_models" / "flux1-dev-Q4_K_S.gguf"
    try:
        with settings_of(host, AGREED):
            bindings.write_text(
                before.replace("tiny_flux.safetensors", model.name), encoding="utf-8"
            )
            [told] = problems(ask(api, base_tune_id=1504944))
            assert told["field"] == "base_tune_id"
            bindings.write_text("", encoding="utf-8")
            [told] = problems(ask(api))
            assert (told["code"], told["field"]) == ("missing-base", "base_tune_id")
    finally:
        bindings.write_text(before, encoding="utf-8")


SMALL_PROMPT = {"text": "portrait of ohwx woman", **SMALL}


def tune_at(api: Api, id: int) -> dict[str, Any]:
    return api.get(f"/tunes/{id}").json()


def ended(api: Api, id: int, timeout_s: float = 120) -> dict[str, Any]:
    """Wait until a tune is trained or failed, and return its object."""
    until(lambda: tune_at(api, id)["trained_at"] or tune_at(api, id)["user_error"], timeout_s)
    return tune_at(api, id)


def test_a_person_is_trained_and_the_prompts_that_waited_are_painted(
    api: Api, host: LiveHost
) -> None:
    with Receiver() as receiver, settings_of(host, AGREED):
        prompts = [
            {**SMALL_PROMPT, "seed": 3, "callback": receiver.url},
            {**SMALL_PROMPT, "text": "<lora:Anna:0.5> woman", "seed": 3},
        ]
        answer = ask(
            api, steps=3, callback=receiver.url, prompts_attributes=prompts, base_tune_id=690204
        )
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert (made["trained_at"], made["started_training_at"], made["eta"]) == (None,) * 3
        assert (made["token"], made["branch"], made["model_type"]) == ("sks", "sd15", "lora")
        later = api.create_prompt("in a park", tune=made["id"])
        assert later["text"] == f"<lora:{made['id']}:1> in a park"
        assert "is added before the text" in " ".join(later["notices"])
        done = ended(api, made["id"])
        assert done["user_error"] is None
        assert made["created_at"] <= done["started_training_at"] <= done["trained_at"]
        assert done["eta"] == done["trained_at"]
        waited = [api.finished(one) for one in api.get(f"/tunes/{made['id']}/prompts").json()]
        until(lambda: len(receiver.arrived) == 2)
    assert [one["user_error"] for one in waited] == [None] * 3
    assert all(one["started_training_at"] >= done["trained_at"] for one in waited)
    assert [one["text"] for one in waited][1:] == [
        "<lora:Anna:0.5> woman",
        f"<lora:{made['id']}:1> portrait of ohwx woman",
    ]
    bodies = {
        tuple(key for key in ("tune", "prompt") if key in body): body
        for _, body in receiver.arrived
    }
    told = bodies["tune",]["tune"]
    assert told == done, "the callback tells the tune as it is"
    file = host.loras / f"astria/tune-{made['id']}.safetensors"
    training = host.state / "training" / str(made["id"])
    assert file.is_file()
    assert (training / "samples").is_dir()
    # The same again on the base, by its tag, once the LoRA is there.
    again = api.create_prompt(f"<lora:{made['id']}:1> portrait of ohwx woman", seed=3)
    same = api.picture(api.finished(again)["images"][0]).convert("RGB").tobytes()
    assert same == api.picture(waited[2]["images"][0]).convert("RGB").tobytes()
    assert api.delete(f"/tunes/{made['id']}").status_code == 200
    assert not file.exists()
    assert not training.exists()
    assert not (host.state / "photos" / str(made["id"])).exists()


def test_a_lora_is_worn_on_the_base_that_it_was_trained_on(api: Api, host: LiveHost) -> None:
    """Also where the base's id is a word, which the tune cannot hold, and the default another."""
    bindings = host.state / "bindings.ini"
    before = bindings.read_text(encoding="utf-8")
    try:
        bindings.write_text(before.replace("690204", "mine"), encoding="utf-8")
        with settings_of(host, AGREED):
            made = ask(api, steps=1).json()
            done = ended(api, made["id"])
        bindings.write_text(before.replace("690204", "mine").replace("= mine", "= 1504944"))
        painted = api.finished(api.create_prompt("a woman", made["id"]))
    finally:
        bindings.write_text(before, encoding="utf-8")
    assert (done["user_error"], done["base_tune_id"]) == (None, None)
    assert painted["user_error"] is None


def test_without_a_model_type_a_whole_checkpoint_is_trained(api: Api, host: LiveHost) -> None:
    """As the public starters ask on SD1.5; its prompts run on it, and need no tag."""
    with settings_of(host, AGREED):
        about = {"model_type": None, "base_tune_id": 690204, "token": "ohwx", "steps": 2}
        made = ask(api, **about, prompts_attributes=[SMALL_PROMPT]).json()
        assert made["model_type"] is None
        done = ended(api, made["id"])
        [prompt] = api.get(f"/tunes/{made['id']}/prompts").json()
        painted = api.finished(prompt)
    assert (done["user_error"], done["model_type"]) == (None, "checkpoint")
    file = host.base / "models" / "checkpoints" / "astria" / f"tune-{made['id']}.safetensors"
    assert file.stat().st_size > 1_000_000
    assert (painted["text"], painted["user_error"]) == (SMALL_PROMPT["text"], None)
    assert painted["started_training_at"] >= done["trained_at"]
    api.delete(f"/tunes/{made['id']}")
    assert not file.exists()


def test_where_memory_is_short_it_is_tried_smaller_once(api: Api, host: LiveHost) -> None:
    """On Flux at 512 and 768 px, then at 512; on SD1.5 there is no smaller size."""
    with Receiver() as receiver, settings_of(host, AGREED):
        about = {"token": "nomemory", "steps": 2, "callback": receiver.url}
        waits = [{**SMALL_PROMPT, "callback": receiver.url}]
        flux = ask(api, base_tune_id=1504944, **about, prompts_attributes=waits).json()
        small = ask(api, base_tune_id=690204, **about).json()
        assert (flux["branch"], small["branch"]) == ("flux1", "sd15")
        twice, once = (ended(api, one["id"])["user_error"] for one in (flux, small))
        assert twice.startswith("Memory was short at 512 px and 768 px, and again at 512 px. ")
        assert once.startswith("Memory was short at 512 px. ")
        assert "20 GiB" in once
        [prompt] = api.get(f"/tunes/{flux['id']}/prompts").json()
        failed = api.finished(prompt)
        until(lambda: receiver.arrived)
        refused = api.post(f"/tunes/{flux['id']}/prompts", json={"prompt": SMALL_PROMPT})
        named = api.post("/tunes/1504944/prompts", json={"text": f"<lora:{flux['id']}:1> a"})
    assert failed["user_error"].startswith(f"Tune {flux['id']} was not trained: Memory was short")
    # As a crash leaves it.
    change_progress(host.state, flux["id"], state=TRAINING, eta_s=60.0, updated_at=1.0)
    assert tune_at(api, flux["id"])["eta"] is None, "a tune that failed will not be ready"
    [(_, body)] = receiver.arrived
    assert "prompt" in body, "a tune's callback means that it is ready, never that it failed"
    assert (refused.status_code, problems(refused)[0]["code"]) == (422, "not-trained")
    assert (named.status_code, "was not trained" in named.text) == (422, True)


def test_deleting_a_tune_ends_its_training_and_leaves_nothing(api: Api, host: LiveHost) -> None:
    with settings_of(host, AGREED):
        twice = {"images": [*PHOTOS, PHOTOS[0]], "min_face_px": 64, "model_type": "pti"}
        tune, waits = (
            ask(api, title=title, steps=5000, **more).json()
            for title, more in (("one", {}), ("two", twice))
        )
        assert (waits["model_type"], len(waits["orig_images"])) == ("lora", 4)
        with settings_of(host, f"{AGREED}max_waiting = 2\n"):
            full = ask(api, title="three")
        assert (full.status_code, full.json()["error"]["type"]) == (429, "queue-full")
        said = " ".join(waits["notices"])
        assert "no text embedding is learned" in said
        assert "Of 5 photos 4 are different" in said
        assert "min_face_px has no effect here." in said
        api.create_prompt("a woman", tune=tune["id"])
        until(lambda: tune_at(api, tune["id"])["eta"])
        shown = tune_at(api, tune["id"])
        assert shown["eta"] > shown["started_training_at"]
        assert shown["trained_at"] is None
        listed = api.get("/tunes", params={"title": "one"}).json()
        assert listed[0]["started_training_at"] == shown["started_training_at"]
        changed = api.session.patch(f"{api.url}/tunes/{tune['id']}", json={"token": "abc"}).json()
        said = "token is changed, and what the tune is trained with stays."
        assert changed["notices"][0] == said
        [told] = problems(ask(api, base_tune_id=tune["id"]))
        assert (told["field"], "is the tune 'one'" in told["message"]) == ("base_tune_id", True)
        for one in (tune, waits):
            assert api.delete(f"/tunes/{one['id']}").status_code == 200
    left = [host.state / "training" / str(one["id"]) for one in (tune, waits)]
    until(lambda: not any(one.exists() for one in left))
    assert not list((host.loras / "astria").glob(f"tune-{tune['id']}.*"))
    assert api.finished(api.create_prompt("the queue goes on"))["user_error"] is None


def test_a_training_of_another_comfyui_does_not_fail_for_it(api: Api, host: LiveHost) -> None:
    """As after a start of one of two on a folder, which takes up what the other one runs."""
    with settings_of(host, AGREED):
        first = ask(api, title="elsewhere", steps=5000).json()
        shared = ask(api, title="shared", steps=1).json()
        with held_apart(host.state / "training" / "training.lock", shared["id"]) as is_held:
            assert is_held
            api.delete(f"/tunes/{first['id']}")
            said = f"tune {shared['id']} is trained by another ComfyUI"
            until(lambda: said in host.log_text())
    assert tune_at(api, shared["id"])["user_error"] is None
    api.delete(f"/tunes/{shared['id']}")


def test_a_title_finds_its_tune_but_a_failed_one_is_tried_again(api: Api, host: LiveHost) -> None:
    (host.state / "training" / "agreed.json").unlink(missing_ok=True)
    with Receiver() as receiver, settings_of(host, f"{AGREED}idempotent = yes\n"):
        first = ask(api, title="again", steps=2, token="nomemory").json()
        assert ask(api, title="again", steps=2, token="nomemory").json()["id"] == first["id"]
        assert ended(api, first["id"])["user_error"]
        second = ask(api, title="again", steps=2)
        assert second.json()["id"] != first["id"]
        assert ask(api, title="again", callback=receiver.url).json()["trained_at"] is None
        until(lambda: receiver.arrived)
        api.delete(f"/tunes/{second.json()['id']}")
    [told] = problems(ask(api))
    assert told["code"] == "training-agreement", "the owner has taken people_agreed back"
