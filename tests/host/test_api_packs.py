"""Packs, characteristics and the look at a photo, on the live host. Tunes here are mocks."""

from __future__ import annotations

import base64
import io

import pytest
from comfyui_astria.tests.host.api_support import (
    BINDINGS,
    SMALL,
    Api,
    Receiver,
    api_of,
    faceid,
    png,
    problems,
    settings_of,
    until,
)
from comfyui_astria.tests.host.fixtures import LiveHost
from comfyui_astria.tests.testpack.face_models import astronaut, write_face_pack
from PIL import Image

PHOTO = base64.b64encode(png(seed=1)).decode()
SENT = {
    "title": "Corporate Headshots",
    "base_tune_id": 690204,
    "branch": "fast",
    "prompts_attributes": [
        {"text": "{{tune}} ohwx {{name}}, {{eye_color}}, suit", "class_name": "man", **SMALL},
        {"text": "ohwx woman in a suit", "class_name": "woman", **SMALL},
        {"text": "close up", **SMALL},
    ],
}


@pytest.fixture(scope="module")
def api(host: LiveHost) -> Api:
    return api_of(host)


def test_a_pack_is_made_listed_and_deleted(api: Api) -> None:
    pack = api.post("/packs", json={"pack": SENT}).json()
    assert (pack["slug"], pack["model_type"], pack["branch"]) == (
        "corporate-headshots",
        "faceid",
        "fast",
    )
    assert {name: len(found) for name, found in pack["prompts_per_class"].items()} == {
        "man": 2,
        "woman": 2,
    }
    for path in ("/packs", "/packs/", "/packs.json", "/gallery/packs", "/gallery/packs.json"):
        assert {**api.get(path).json()[0], "prompts": pack["prompts"]} == pack
    named = ("packs/{id}", "packs/{id}.json", "packs/{id}/", "p/{slug}", "p/{id}.json", "p/{slug}/")
    for path in named:
        assert api.get(f"/{path.format(**pack)}").json() == pack
    assert pack not in api.get("/packs", params={"before_id": pack["id"]}).json()
    assert api.delete(f"/packs/{pack['slug']}").json()["id"] == pack["id"]
    gone = api.get(f"/packs/{pack['id']}")
    assert (gone.status_code, problems(gone)[0]["code"]) == (404, "not-found")
    refused = api.post("/packs", json={"pack": {"prompts_attributes": [{"text": "a --no"}]}})
    assert refused.status_code == 422
    told = {one["field"]: one for one in problems(refused)}
    assert set(told) == {"title", "prompts_attributes[0][text]"}
    assert told["prompts_attributes[0][text]"]["start"] == 2


def test_a_tune_by_a_pack_comes_with_the_packs_prompts_filled(api: Api, host: LiveHost) -> None:
    """As the service's form sends it, down to the webhooks of tune and prompts."""
    pack = api.post("/packs", json=SENT).json()
    form = {
        "tune[title]": "John Doe - UUID - 1234",
        "tune[name]": "man",
        "tune[preset]": "flux-lora-portrait",
        "tune[characteristics][eye_color]": "blue eyes",
    }
    files = [("tune[images][]", (f"{number}.jpg", png(seed=number))) for number in range(4)]
    with (
        Receiver() as trained,
        Receiver() as painted,
        settings_of(host, "private_hosts = 127.0.0.1\n"),
    ):
        hooks = {"tune[callback]": trained.url, "tune[prompt_attributes][callback]": painted.url}
        answer = api.post(f"/p/{pack['slug']}/tunes", data={**form, **hooks}, files=files)
        assert answer.status_code == 201, answer.text
        until(lambda: trained.arrived and len(painted.arrived) == 2)
    tune = answer.json()
    assert (tune["pack_id"], tune["model_type"], tune["base_tune_id"]) == (
        pack["id"],
        "faceid",
        690204,
    )
    assert tune["characteristics"] == {"eye_color": "blue eyes"}
    tag = f"<faceid:{tune['id']}:1>"
    assert {body["text"] for _, body in painted.arrived} == {
        f"{tag} ohwx man, blue eyes, suit",
        f"{tag} close up",
    }
    assert all(body["pack_id"] == pack["id"] and body["images"] for _, body in painted.arrived)
    assert trained.arrived[0][1]["pack_id"] == pack["id"]
    api.delete(f"/packs/{pack['id']}")
    assert api.get(f"/tunes/{tune['id']}").json()["pack_id"] == pack["id"]


def test_a_pack_paints_tunes_that_are_there(api: Api, host: LiveHost) -> None:
    pack = api.post("/packs", json=SENT).json()
    tunes = [
        api.post("/tunes", json={"title": name, "branch": "fast", "name": name}).json()
        for name in ("woman", "dog")
    ]
    path, ids = f"/p/{pack['id']}/tunes", [tune["id"] for tune in tunes]
    [_, _, close] = [one["id"] for one in pack["prompts"]]
    # Leading zeros change no id.
    only = {"tune_ids": [f"0{ids[0]}"], "prompt_ids": [f"0{close}"]}
    one = api.post(path, json={"tune": only})
    assert (one.status_code, one.json()["id"]) == (201, ids[0])
    with Receiver() as ended, settings_of(host, "private_hosts = 127.0.0.1\n"):
        sent = {"tune_ids": ids, "prompts_callback": ended.url, "title": "x"}
        both = api.post(path, json={"tune": sent})
        assert [tune["id"] for tune in both.json()] == ids
        assert both.json()[0]["notices"] == ["title has no effect together with tune_ids."]
        until(lambda: ended.arrived)
    [(_, told)] = ended.arrived
    assert [(one["tune_id"], one["text"]) for one in told] == [
        (ids[0], "ohwx woman in a suit"),
        (ids[0], "close up"),
        (ids[1], "close up"),
    ]
    assert all(one["images"] for one in told)
    private = {"tune_ids": ids, "prompts_callback": ended.url}
    assert problems(api.post(path, json=private))[0]["field"] == "prompts_callback"
    painted = [api.get(f"/tunes/{id}/prompts").json() for id in ids]
    assert [[prompt["text"] for prompt in found] for found in painted] == [
        ["close up", "ohwx woman in a suit", "close up"],
        ["close up"],
    ]
    absent = api.post(path, json={"tune": {"tune_ids": [ids[0], 999999]}})
    assert (absent.status_code, problems(absent)[0]["field"]) == (422, "tune_ids")
    for tune in tunes:
        api.delete(f"/tunes/{tune['id']}")


def test_error_a_pack_leaves_nothing_of_a_tune_whose_prompts_fail(api: Api) -> None:
    pack = api.post("/packs", json=SENT).json()
    before = api.get("/tunes").json()
    sent = {"title": "t", "images": [PHOTO], "name": "man"}
    answer = api.post(f"/p/{pack['id']}/tunes", json={"tune": sent})
    assert answer.status_code == 422
    [told] = problems(answer)
    assert (told["code"], told["field"]) == ("empty-placeholder", "prompts_attributes[0][text]")
    assert "{{eye_color}} has no value" in told["message"]
    assert told["hint"].startswith("Known: tune, name, token.")
    other = api.post(f"/p/{pack['id']}/tunes", json={"tune": {**sent, "prompt_ids": [9999]}})
    assert (other.status_code, problems(other)[0]["code"]) == (422, "pack-prompts")
    assert api.get("/tunes").json() == before
    nobody = api.post("/p/nobody/tunes", json={"tune": sent})
    assert nobody.status_code == 404


def test_a_folder_of_prompt_files_is_a_pack_while_it_lies_there(api: Api, host: LiveHost) -> None:
    folder = host.state / "packs" / "Beach"
    folder.mkdir(parents=True)
    try:
        (folder / "pack.json").write_text('{"branch": "fast"}', encoding="utf-8")
        (folder / "1.txt").write_text("a beach\nw=72\nh=40\n", encoding="utf-8")
        pack = api.get("/p/beach").json()
        assert (pack["folder"], pack["notices"]) == ("Beach", [])
        made = api.post("/p/beach/tunes", json={"tune": {"title": "b", "images": [PHOTO]}})
        assert made.status_code == 201, made.text
        [prompt] = api.get(f"/tunes/{made.json()['id']}/prompts").json()
        assert api.picture(api.finished(prompt)["images"][0]).size == (72, 40)
        assert api.delete("/packs/beach").status_code == 422
        (folder / "2.txt").write_text("a --nothing", encoding="utf-8")
        [notice] = api.get("/p/beach").json()["notices"]
        assert notice.startswith("2.txt: ")
        broken = api.post("/p/beach/tunes", json={"tune": {"title": "c", "images": [PHOTO]}})
        assert (broken.status_code, problems(broken)[0]["code"]) == (422, "pack-file")
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    assert api.get("/p/beach").status_code == 404


def test_characteristics_fill_prompts_at_the_tune_and_those_that_name_it(api: Api) -> None:
    mine, plain, other = (
        faceid(api, title, **characteristics).json()
        for title, characteristics in (
            ("mine", {"tune[characteristics][eye_color]": "green eyes"}),
            ("plain", {}),
            ("other", {"tune[characteristics][hair]": "red hair"}),
        )
    )
    assert mine["characteristics"] == {"eye_color": "green eyes"}
    assert api.get(f"/tunes/{mine['id']}").json()["characteristics"] == mine["characteristics"]
    text = "ohwx man,\n{{eye_color}} <lora:nobody:1>"
    at_tune = api.post(f"/tunes/{mine['id']}/prompts", json={"text": text})
    [missing] = problems(at_tune)
    assert text[missing["start"] : missing["end"]] == "<lora:nobody:1>"
    assert (missing["line"], missing["column"]) == (2, 15)
    changed = {"characteristics": {"eye_color": "grey eyes"}}
    patched = api.session.patch(f"{api.url}/tunes/{mine['id']}", json=changed, timeout=60).json()
    assert patched["characteristics"] == changed["characteristics"]
    unknown = api.post(f"/tunes/{plain['id']}/prompts", json={"text": text})
    told = {one["code"]: one for one in problems(unknown)}
    assert set(told) == {"empty-placeholder", "missing-model"}
    assert text[told["empty-placeholder"]["start"] :].startswith("{{eye_color}}")
    assert "tune, name, token" in told["empty-placeholder"]["hint"]
    kept = api.create_prompt("a {{eye_color}} cat", negative_prompt="{{x}}")
    assert (kept["text"], kept["negative_prompt"]) == ("a {{eye_color}} cat", "{{x}}")
    api.delete(f"/tunes/690204/prompts/{kept['id']}")
    both = f"<faceid:{mine['id']}:1> {{{{eye_color}}}} <faceid:{other['id']}:1>"
    several = api.post("/tunes/690204/prompts", json={"text": both})
    assert "the text names 2 tunes" in problems(several)[0]["message"]
    bad = api.post("/tunes", json={"title": "x", "characteristics": {"a": "<lora:1:1>"}})
    assert "characteristics" in [one["field"] for one in problems(bad)]


def test_a_single_tag_decides_what_placeholders_stand_for(api: Api) -> None:
    sent = {"title": "by tag", "branch": "fast", "images": [PHOTO]}
    more = {"model_type": "faceid", "characteristics": '{"eye_color": "green eyes"}'}
    tune = api.post("/tunes", json={**sent, **more}).json()
    text = f"<faceid:{tune['id']}:1> <faceid:by tag:1> {{{{eye_color}}}} {{{{nose}}}}"
    told = problems(api.post("/tunes/690204/prompts", json={"text": text}))
    assert told[0]["code"] == "empty-placeholder"
    assert "eye_color" in told[0]["hint"]
    assert "{{nose}} has no value" in told[0]["message"]


def test_a_photo_is_looked_at_and_nobody_is_guessed_at(api: Api, host: LiveHost) -> None:
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    content = buffer.getvalue()
    form = {"data": {"name": "man"}, "files": {"file": ("a.png", content)}}
    blind = api.post("/images/inspect", **form).json()
    assert blind["notices"] == ["Faces are not looked for: no face_analysis is bound."]
    assert (blind["faces"], blind["width"]) == (None, astronaut().shape[1])
    write_face_pack(host.base / "models" / "insightface" / "models" / "buffalo_l")
    bindings = host.state / "bindings.ini"
    bindings.write_text(f"{BINDINGS}\n[roles]\nface_analysis = buffalo_l\n", encoding="utf-8")
    try:
        found = api.post("/images/inspect.json", **form).json()
        encoded = {"file": base64.b64encode(content).decode(), "name": "man"}
        assert api.post("/images/inspect/", json=encoded).json() == found
    finally:
        bindings.write_text(BINDINGS, encoding="utf-8")
    assert (found["faces"], found["includes_multiple_people"]) == (1, False)
    assert 0 < found["face_width"] < found["width"]
    assert (found["notices"], found["blurry"]) == ([], False)
    assert [found[key] for key in ("age", "ethnicity", "name", "eye_color")] == [None] * 4
    assert problems(api.post("/images/inspect", json={}))[0]["code"] == "missing-picture"
    assert problems(api.post("/images/inspect", json={"file": "no"}))[0]["field"] == "file"
    url = {"file_url": "http://127.0.0.1/a.png"}
    assert problems(api.post("/images/inspect", json=url))[0]["field"] == "file_url"
