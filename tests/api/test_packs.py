"""Packs as requests and folders of prompt files describe them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from comfyui_astria.nodes.api.fields import Upload
from comfyui_astria.nodes.api.packs.attributes import (
    MAX_CHARACTERS,
    asked_tune,
    new_pack,
    pack_object,
    prompts_for,
    slug_of,
    whole_pack,
    with_own_tag,
)
from comfyui_astria.nodes.api.packs.folders import folder_packs
from comfyui_astria.nodes.net.problems import ApiError, Problems
from comfyui_astria.nodes.tunes.packs import NewPack, Pack, PackPrompt, PackStore
from comfyui_astria.nodes.tunes.prompts import Prompt, PromptStore

PROMPTS = (
    PackPrompt({"text": "{{tune}} a man", "num_images": "2"}, "man", 1),
    PackPrompt({"text": "a woman"}, "woman", 2),
    PackPrompt({"text": "somebody"}, "", 3),
)
PACK = Pack("a", "A", {"model_type": "faceid", "base_tune_id": 690204}, PROMPTS, id=4)


def refused(sent: dict) -> list[str]:
    found = Problems()
    assert new_pack(sent, found) is None
    with pytest.raises(ApiError) as caught:
        found.refuse()
    return [one["field"] for one in caught.value.problems]


def test_a_pack_is_read_from_its_attributes() -> None:
    sent = {
        "title": " Corporate Headshots ",
        "base_tune_id": "690204",
        "prompts_attributes": [{"text": "ohwx man", "class_name": "man", "seed": 7, "w": ""}],
    }
    new = new_pack(sent, Problems())
    assert new is not None
    assert (new.slug, new.title) == ("corporate-headshots", "Corporate Headshots")
    assert new.tune == {"base_tune_id": 690204, "model_type": "faceid"}
    assert new.prompts == (PackPrompt({"text": "ohwx man", "seed": 7}, "man"),)


def test_error_everything_that_is_wrong_with_a_pack_is_told_at_once() -> None:
    assert refused({}) == ["title", "prompts_attributes"]
    wrong = {
        "title": "x" * 201,
        "model_type": "dog",
        "branch": ["sd15"],
        "base_tune_id": "one",
        "token": 5,
        "prompts_attributes": [
            {"text": "fine"},
            {"text": "a --nothing", "seed": "abc"},
            {"w": 64},
            "text",
            {"text": "a", "class_name": "<b>"},
            {"text": "\ud800"},
        ],
    }
    assert refused(wrong) == [
        "model_type",
        "branch",
        "base_tune_id",
        "token",
        "title",
        *(
            f"prompts_attributes[{name}"
            for name in ("1][text]", "1][seed]", "2]", "3]", "4]", "5]")
        ),
    ]


def test_a_file_is_no_slug_and_in_no_message() -> None:
    upload = Upload("a.bin", b"\x00secret")
    assert "secret" not in repr(upload)
    sent = {"title": "x", "slug": upload, "prompts_attributes": [{"text": "hi"}]}
    assert refused(sent) == ["slug"]


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Crème Brûlée!", "creme-brulee"),
        ("260", "pack-260"),
        ("猫", "pack"),
        ("a" * 90, "a" * 56),
    ],
)
def test_a_slug_can_stand_in_an_address_and_is_no_id(title: str, slug: str) -> None:
    assert slug_of(title) == slug


def test_prompts_are_chosen_by_class_and_by_id() -> None:
    assert [one.id for one in prompts_for(PACK, "man", ())] == [1, 3]
    assert [one.id for one in prompts_for(PACK, None, ())] == [3]
    assert [one.id for one in prompts_for(PACK, "woman", ["2"])] == [2]
    with pytest.raises(ApiError, match="no prompts for 'man'") as caught:
        prompts_for(PACK, "man", [2])
    assert "man, woman" in caught.value.hint
    with pytest.raises(ApiError, match="no prompt '9'"):
        prompts_for(PACK, "man", [9])


def test_a_tune_by_a_pack_has_what_was_sent_before_what_the_pack_says() -> None:
    sent = {
        "title": "t",
        "name": "man",
        "base_tune_id": 1504944,
        "prompt_attributes": {"callback": "https://a.example/"},
        "prompt_ids": [1],
    }
    asked = asked_tune(PACK, sent)
    assert (asked["base_tune_id"], asked["model_type"]) == (1504944, "faceid")
    assert asked["prompts_attributes"] == [
        {"text": "{{tune}} a man", "num_images": "2", "callback": "https://a.example/"}
    ]
    assert "prompt_ids" not in asked
    assert asked_tune(PACK, {**sent, "prompt_ids": ["01", 1]}) == asked


def test_null_among_what_is_added_to_prompts_is_not_sent() -> None:
    sent = {"name": "man", "prompt_attributes": {"text": None, "num_images": None, "w": 64}}
    assert asked_tune(PACK, sent)["prompts_attributes"][0] == {
        "text": "{{tune}} a man",
        "num_images": "2",
        "w": 64,
    }


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"prompts_attributes": [{"text": "mine"}]}, "prompts_attributes"),
        ({"prompt_attributes": {"text": ["a"]}}, r"prompt_attributes\[text\]"),
    ],
)
def test_error_what_a_tune_by_a_pack_cannot_take_is_refused(wrong: dict, named: str) -> None:
    with pytest.raises(ApiError, match=named):
        asked_tune(PACK, {"name": "man", **wrong})
    assert asked_tune(PACK, {"name": "man", "prompts_attributes": []})["prompts_attributes"]


def test_a_text_that_does_not_name_its_tune_gets_the_tag_before_it() -> None:
    assert with_own_tag({"text": "a man"}, "faceid") == {"text": "{{tune}} a man"}
    assert with_own_tag({"text": "a {{ tune }}"}, "lora") == {"text": "a {{ tune }}"}
    assert with_own_tag({"text": "a man"}, "checkpoint") == {"text": "a man"}


def test_a_packs_object_has_the_services_keys() -> None:
    told = whole_pack(PACK, "http://h")
    assert told["prompts"][0] == {
        "text": "{{tune}} a man",
        "num_images": "2",
        "id": 1,
        "class_name": "man",
    }
    pasted = PackPrompt({"text": "a cat\nnum_images=3"})
    assert pack_object(Pack("a", "A", {}, (pasted,)), "")["costs"]["person"]["num_images"] == 3
    assert told["costs"] == {
        "man": {"cost": 0, "num_images": 3},
        "woman": {"cost": 0, "num_images": 2},
    }
    assert told["prompts_per_class"]["woman"] == [{"id": 2, "images": []}, {"id": 3, "images": []}]
    assert (told["token"], told["url"]) == ("ohwx", "http://h/astria/packs/4.json")
    assert pack_object(Pack("a", "A", {}, ()), "")["costs"] == {}


def test_a_folder_of_prompt_files_is_a_pack(tmp_path: Path) -> None:
    root = tmp_path / "packs"
    assert folder_packs(root) == []
    folder = root / "Summer Day"
    (folder / "woman").mkdir(parents=True)
    (root / ".hidden").mkdir()
    (root / "empty").mkdir()
    (folder / "pack.json").write_text('{"title": "Summer", "branch": "fast"}', encoding="utf-8")
    (folder / "01.txt").write_text("\ufeffa beach\nw=64\nh=96\n", encoding="utf-8")
    (folder / "notes.md").write_text("no prompt", encoding="utf-8")
    (folder / "woman" / "a.json").write_text('[{"text": "one"}, {"text": "two"}]', encoding="utf-8")
    [found] = folder_packs(root)
    assert found.problems == ()
    assert (found.new.slug, found.new.title, found.new.folder) == (
        "summer-day",
        "Summer",
        "Summer Day",
    )
    assert found.new.tune == {"branch": "fast", "model_type": "faceid"}
    assert found.new.prompts == (
        PackPrompt({"text": "a beach\nw=64\nh=96\n"}),
        PackPrompt({"text": "one"}, "woman"),
        PackPrompt({"text": "two"}, "woman"),
    )
    before = found.new.digest
    (folder / "01.txt").write_text("a beach", encoding="utf-8")
    assert folder_packs(root)[0].new.digest != before


def test_error_what_is_wrong_in_a_folder_is_told_by_file(tmp_path: Path) -> None:
    folder = tmp_path / "packs" / "bad"
    folder.mkdir(parents=True)
    (folder / "pack.json").write_text('{"model_type": "dog", "title": 5}', encoding="utf-8")
    (folder / "a.txt").write_text("a cat --nothing", encoding="utf-8")
    (folder / "b.json").write_text("{", encoding="utf-8")
    (folder / "c.txt").write_bytes(b"\xff")
    (folder / "d.json").write_text(json.dumps([{"text": "fine"}, 5]), encoding="utf-8")
    (folder / "e.json").write_text("[" * 100_000, encoding="utf-8")
    (folder / "f.json").write_text('{"text": "x", "callback": "ftp://x"}', encoding="utf-8")
    [found] = folder_packs(tmp_path / "packs")
    named = [one.partition(":")[0] for one in found.problems]
    assert named == [
        "pack.json",
        "pack.json",
        "a.txt",
        "b.json",
        "c.txt",
        "d.json",
        "e.json",
        "f.json",
    ]
    assert not any(str(tmp_path) in one for one in found.problems)
    assert [one.fields for one in found.new.prompts] == [{"text": "fine"}]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", '1, "seed": 2'])
def test_error_a_file_that_json_cannot_say_again_is_told_by_name(
    number: str, tmp_path: Path
) -> None:
    folder = tmp_path / "packs" / "bad"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("fine", encoding="utf-8")
    (folder / "b.json").write_text(f'{{"text": "x", "seed": {number}}}', encoding="utf-8")
    (folder / "pack.json").write_text(f'{{"token": "x", "seed": {number}}}', encoding="utf-8")
    [found] = folder_packs(tmp_path / "packs")
    assert [one.partition(":")[0] for one in found.problems] == ["pack.json", "b.json"]
    assert "\n" not in "".join(found.problems)
    assert found.new.prompts == (PackPrompt({"text": "fine"}),)


def test_packs_of_folders_follow_their_folders(tmp_path: Path) -> None:
    root = tmp_path / "packs"
    (root / "a").mkdir(parents=True)
    (root / "a" / "1.txt").write_text("a cat", encoding="utf-8")
    store = PackStore(tmp_path / "private")
    posted = new_pack({"title": "a", "prompts_attributes": [{"text": "x"}]}, Problems())
    assert posted is not None
    mine = store.add(posted)

    def follow() -> dict[str, Pack]:
        store.follow([one.new for one in folder_packs(root)])
        return {one.slug: one for one in store.list(limit=9, offset=0)}

    first = follow()
    assert list(first) == ["a-2", "a"]
    assert follow() == first, "what did not change keeps its ids"
    (root / "a" / "1.txt").write_text("a dog", encoding="utf-8")
    changed = follow()["a-2"]
    assert (changed.id, changed.prompts[0].fields) == (first["a-2"].id, {"text": "a dog"})
    assert changed.prompts[0].id > first["a-2"].prompts[0].id
    (root / "a" / "1.txt").unlink()
    assert follow() == {"a": mine}
    assert store.get("a") == store.get(str(mine.id)) == mine
    assert store.get("a-2") is store.get("99") is store.get("9" * 16) is None
    assert store.delete(mine.id)
    assert not store.delete(mine.id)


def test_the_callback_of_a_run_is_owed_once_when_all_its_prompts_have_ended(
    tmp_path: Path,
) -> None:
    packs, prompts = PackStore(tmp_path), PromptStore(tmp_path)
    first, second, third = (
        prompts.add(Prompt("1", {"text": text}, "", "", {})) for text in ("a", "b", "c")
    )
    packs.begin_run("http://a.example/", [first.id, second.id])
    prompts.finish(replace(first, status="done"), "")
    assert packs.ended_runs() == []
    prompts.delete(second.id)
    assert prompts.count_open() == 1, f"{third.id} is of no run"
    [run] = packs.ended_runs()
    assert (run.url, run.prompts) == ("http://a.example/", (first.id, second.id))
    assert packs.has_runs()
    assert packs.end_run(run, "[]")
    assert not packs.has_runs()
    assert not packs.end_run(run, "[]")
    assert [one.body for one in prompts.claim_callbacks(2**40, 9, 1)] == ["[]"]


def test_a_pack_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    store = PackStore(tmp_path)
    broken = (PackPrompt({"text": "fine"}), PackPrompt({"text": object()}))
    with pytest.raises(TypeError):
        store.add(NewPack("a", "A", {}, broken))
    assert store.list(limit=9, offset=0) == []
    assert store.add(NewPack("a", "A", {}, broken[:1])).slug == "a"


def test_error_a_pack_is_bounded(tmp_path: Path) -> None:
    long = {"text": "x" * (MAX_CHARACTERS - 10)}
    assert refused({"title": "t", "prompts_attributes": [long] * 3}) == ["prompts_attributes"]
    assert refused({"title": "t", "prompts_attributes": [{"text": "x" * MAX_CHARACTERS}]}) == [
        "prompts_attributes[0]"
    ]
    folder = tmp_path / "packs" / "long"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"{number}.txt").write_text(long["text"], encoding="utf-8")
    [found] = folder_packs(tmp_path / "packs")
    assert (found.new.prompts, len(found.problems)) == ((), 1)
