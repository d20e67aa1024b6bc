"""The tunes database: fields, photos, sweeping, refusals, schema versions."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from comfyui_astria.nodes.tunes import schema, tune
from comfyui_astria.nodes.tunes import store as module
from comfyui_astria.nodes.tunes.store import DATABASE_FILE, TuneError, TuneStore

Photo = Callable[..., bytes]
PNG, WEBP = b"\x89PNG\r\n\x1a\n", b"RIFF\x04\x00\x00\x00WEBP"
V1 = Path(__file__).parent / "fixtures" / "schema_v1.sql"


def test_a_created_tune_is_read_back_with_every_field(store: TuneStore, photo: Photo) -> None:
    made = store.create(
        title="Žofie",
        name="woman",
        model_type="lora",
        token="sks",
        base_tune_id=1504944,
        branch="flux1",
        file="people/žofie.safetensors",
        args="--x",
        steps=300,
        face_crop=True,
        training_face_correct=False,
        ckpt_url="https://example.com/a",
        ckpt_urls=("https://example.com/a", "https://example.com/b"),
        is_api=True,
        photos=[photo("a"), photo("b", PNG)],
        id=1533312,
    )
    assert made.id == 1533312
    assert made.title == "Žofie"
    assert (made.face_crop, made.training_face_correct, made.is_api) == (True, False, True)
    assert made.ckpt_urls == ("https://example.com/a", "https://example.com/b")
    assert store.get(1533312) == made == store.find_by_title("Žofie")
    assert [path.read_bytes() for path in store.photo_paths(1533312)] == [
        photo("a"),
        photo("b", PNG),
    ]


def test_the_response_object_has_the_service_s_keys_and_times(
    store: TuneStore, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = datetime(2023, 10, 2, 14, 32, 40, 363_000, tzinfo=timezone.utc)
    monkeypatch.setattr(module, "now", lambda: moment)
    made = store.create(
        title="John Doe", name="woman", model_type="faceid", branch="sd15", photos=[photo()]
    )
    image = hashlib.sha256(photo()).hexdigest() + ".jpg"
    assert json.loads(json.dumps(made.to_json())) == {
        "id": 1,
        "title": "John Doe",
        "name": "woman",
        "is_api": False,
        "token": "ohwx",
        "base_tune_id": None,
        "args": None,
        "steps": None,
        "face_crop": None,
        "training_face_correct": None,
        "ckpt_url": None,
        "ckpt_urls": [],
        "eta": "2023-10-02T14:32:40.363Z",
        "trained_at": "2023-10-02T14:32:40.363Z",
        "started_training_at": "2023-10-02T14:32:40.363Z",
        "expires_at": None,
        "created_at": "2023-10-02T14:32:40.363Z",
        "branch": "sd15",
        "model_type": "faceid",
        "updated_at": "2023-10-02T14:32:40.363Z",
        "url": "/tunes/1.json",
        "orig_images": [image],
        "characteristics": {},
        "pack_id": None,
        "preset": None,
        "user_error": None,
    }


def test_a_tune_without_a_model_is_not_trained_yet(store: TuneStore) -> None:
    assert store.create(title="later", model_type="lora").trained_at is None
    ready = store.create(title="now", model_type="lora", file="a.pt")
    assert ready.trained_at == ready.created_at


def test_times_are_whole_milliseconds_in_utc() -> None:
    moment = tune.now()
    assert moment.microsecond % 1000 == 0
    assert tune.from_iso(tune.iso(moment)) == moment
    assert tune.iso(moment).endswith("Z")


def test_listing_is_newest_first_in_pages(
    store: TuneStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for second, title in ((1, "a"), (3, "b"), (2, "c"), (3, "d")):
        monkeypatch.setattr(
            module,
            "now",
            lambda second=second: datetime(2024, 1, 1, 0, 0, second, tzinfo=timezone.utc),
        )
        store.create(title=title)
    assert [tune.title for tune in store.list()] == ["d", "b", "c", "a"]
    assert [tune.title for tune in store.list(limit=2, offset=1)] == ["b", "c"]
    with pytest.raises(TuneError, match="limit -1"):
        store.list(limit=-1)


def test_the_newest_of_equal_titles_is_found(store: TuneStore) -> None:
    store.create(title="Anna")
    assert (
        store.find_by_title("Anna")
        != store.create(title="Anna", file="b.pt")
        == store.find_by_title("Anna")
    )
    assert store.find_by_title("anna") is None
    assert store.find_by_title("\ud800") is None


def test_unknown_ids(store: TuneStore) -> None:
    for id in (1, 0, -1, 10**30):
        assert store.get(id) is None
        assert not store.delete(id)
        with pytest.raises(TuneError, match=f"there is no tune {id} in "):
            store.photo_paths(id)


def test_a_photo_given_twice_is_one_file_listed_twice(store: TuneStore, photo: Photo) -> None:
    made = store.create(title="a", photos=[photo("x"), photo("y"), photo("x")])
    first, second, third = store.photo_paths(made.id)
    assert first == third != second
    assert len(list(first.parent.iterdir())) == 2


def test_deleting_removes_photos_and_never_gives_the_id_again(
    store: TuneStore, photo: Photo
) -> None:
    kept = store.create(title="kept", photos=[photo()])
    gone = store.create(title="gone", photos=[photo()])
    folder = store.photo_paths(gone.id)[0].parent
    assert store.delete(gone.id)
    assert not folder.exists()
    assert store.get(gone.id) is None
    assert store.photo_paths(kept.id)[0].exists()
    assert store.create(title="next").id == gone.id + 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"title": " "}, "a tune needs a title, not ' '"),
        (
            {"title": "a", "model_type": "lara"},
            "model_type 'lara' of tune 'a': expected lora, faceid, checkpoint or none",
        ),
        (
            {"title": "a", "file": "../a.pt"},
            "file '../a.pt' of tune 'a' is no file name below a model folder",
        ),
        (
            {"title": "a", "model_type": "faceid"},
            "faceid tune 'a' has no photos: expected at least one",
        ),
        ({"title": "a", "id": 0}, "tune id 0: expected 1 to"),
        ({"title": "a", "id": 10**30}, "tune id 10+: expected 1 to"),
        ({"title": "a", "steps": 10**30}, "steps 10+ of tune 'a': expected 0 to"),
        ({"title": "a\ud800"}, "title 'a.ud800' of a tune is not Unicode text"),
        (
            {"title": "a", "photos": [b"GIF89a"]},
            "photo 1 begins with the bytes '47 49 46 38 39 61': expected a JPEG",
        ),
        ({"title": "a", "photos": [b"\xff\xd8\xff", b""]}, "photo 2 begins with the bytes ''"),
        (
            {"title": "a", "photos": [b"\xff\xd8\xff" * 30]},
            "photo 1 has 90 bytes: expected at most 80",
        ),
    ],
)
def test_error_a_refused_tune_leaves_nothing(
    store: TuneStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, object],
    message: str,
) -> None:
    monkeypatch.setattr(module, "MAX_PHOTO_BYTES", 80)
    with pytest.raises(TuneError, match=message):
        store.create(**fields)
    assert not store.list()
    assert not list((tmp_path / "private" / "photos").iterdir())


def test_error_an_id_in_use_keeps_its_tune(store: TuneStore, photo: Photo) -> None:
    first = store.create(title="first", id=7, photos=[photo("a")])
    with pytest.raises(TuneError, match="tune 7 exists already"):
        store.create(title="second", id=7, photos=[photo("b")])
    assert store.list() == [first]
    assert [path.read_bytes() for path in store.photo_paths(7)] == [photo("a")]


def test_opening_sweeps_what_a_crash_left_and_nothing_else(tmp_path: Path, photo: Photo) -> None:
    store = TuneStore(tmp_path)
    made = store.create(title="a", photos=[photo()])
    mine = store.photo_paths(made.id)[0]
    photos = tmp_path / "photos"
    orphan = f"{'0' * 64}.jpg"
    for name in (
        f"1/{orphan}",
        f"1/{mine.name}.partial",
        f"2/{orphan}",
        "2/notes.txt",
        f"3/{orphan}",
        f"backup/{orphan}",
    ):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(b"x")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / orphan).write_bytes(b"x")
    (photos / "4").symlink_to(outside)
    TuneStore(tmp_path)
    left = {str(path.relative_to(photos)) for path in photos.rglob("*") if path.is_file()}
    assert left == {f"1/{mine.name}", "2/notes.txt", f"backup/{orphan}"}
    assert not (photos / "3").exists()
    assert (outside / orphan).exists()


def test_error_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TuneError, match=r"the tunes folder .*file cannot be used"):
        TuneStore(tmp_path / "file")


def test_error_photos_that_cannot_be_written_leave_no_tune(
    store: TuneStore, tmp_path: Path, photo: Photo
) -> None:
    (tmp_path / "private" / "photos" / "1").touch()
    with pytest.raises(TuneError, match="cannot be used"):
        store.create(title="a", photos=[photo()])
    assert not store.list()


def test_error_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(
        b"no database at all, but long enough to look like one" * 50
    )
    with pytest.raises(TuneError, match=r"tunes\.sqlite3 cannot be used: file is not a database"):
        TuneStore(tmp_path)


def test_the_database_is_journalled_ahead_and_carries_its_schema_version(
    store: TuneStore, tmp_path: Path
) -> None:
    with schema.connected(tmp_path / "private" / DATABASE_FILE) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(schema.MIGRATIONS)


def test_pages_go_by_falling_id_and_by_what_is_asked(store: TuneStore) -> None:
    own = {"model_type": "lora", "file": "a.safetensors"}
    late = store.create(title="a", name="man", id=50, **own)
    early = store.create(title="a", name="woman", id=7, branch="sd15", **own)
    last = store.create(title="b", name="man", **own)
    for asked, found in (
        ({}, [last, late, early]),
        ({"before": 50}, [early]),
        ({"before": 7}, []),
        ({"wanted": {"title": ["a"]}}, [late, early]),
        ({"wanted": {"name": ["man", "dog"], "title": ["a"]}}, [late]),
        ({"wanted": {"branch": ["sd15"]}}, [early]),
        ({"wanted": {"title": ["\ud800"]}}, []),
        ({"offset": 1}, [late, early]),
    ):
        assert store.page(limit=9, **asked) == found, asked
    assert store.page(limit=1) == [last]


def test_a_tune_is_changed_as_a_whole_or_not_at_all(store: TuneStore) -> None:
    tune_id = store.create(title="a", name="man").id
    changed = store.change(tune_id, {"title": "b", "name": None, "base_tune_id": 690204})
    assert changed == store.get(tune_id)
    assert (changed.title, changed.name, changed.base_tune_id) == ("b", None, 690204)
    assert changed.updated_at >= changed.created_at
    for wrong in ({"name": "c", "title": " "}, {"title": "\ud800"}, {"base_tune_id": -1}):
        with pytest.raises(TuneError):
            store.change(tune_id, wrong)
    assert store.get(tune_id) == changed
    assert store.change(99, {"title": "b"}) is store.change(2**70, {"title": "b"}) is None


def make_v1(folder: Path) -> Path:
    path = folder / DATABASE_FILE
    connection = sqlite3.connect(path)
    connection.executescript(V1.read_text(encoding="utf-8"))
    connection.close()
    return path


def test_a_database_of_schema_version_1_opens(tmp_path: Path) -> None:
    make_v1(tmp_path)
    store = TuneStore(tmp_path)
    john, anna = store.list()
    assert (john.id, john.title, john.model_type, len(john.orig_images)) == (
        788416,
        "John Doe",
        "faceid",
        2,
    )
    assert (anna.id, anna.file, anna.ckpt_urls) == (
        1533312,
        "anna.safetensors",
        ("https://example.com/anna",),
    )
    assert tune.iso(john.created_at) == "2023-10-02T14:32:05.067Z"
    assert store.create(title="next").id == 1533313


def test_migrations_bring_version_1_forward_step_by_step(tmp_path: Path) -> None:
    path = make_v1(tmp_path)
    steps = (
        *schema.MIGRATIONS,
        ("ALTER TABLE tunes ADD COLUMN note TEXT", "UPDATE tunes SET note = title"),
    )
    schema.prepare(path, steps)
    with schema.connected(path) as connection:
        assert [
            row["note"] for row in connection.execute("SELECT note FROM tunes ORDER BY id")
        ] == ["John Doe", "Anna"]
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(steps)


def test_error_a_step_that_fails_leaves_no_part_of_itself(tmp_path: Path) -> None:
    path = make_v1(tmp_path)
    steps = (
        *schema.MIGRATIONS,
        ("ALTER TABLE tunes ADD COLUMN note TEXT", "UPDATE nowhere SET note = title"),
    )
    with pytest.raises(TuneError, match="no such table: nowhere"):
        schema.prepare(path, steps)
    assert [tune.title for tune in TuneStore(tmp_path).list()] == ["John Doe", "Anna"]
    with schema.connected(path) as connection:
        assert "note" not in dict(connection.execute("SELECT * FROM tunes").fetchone())


def test_error_a_newer_schema_is_left_untouched(tmp_path: Path) -> None:
    path = make_v1(tmp_path)
    newer = len(schema.MIGRATIONS) + 1
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {newer}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(
        TuneError,
        match=f"has schema version {newer}, this version of the pack knows {newer - 1}\n.*Update",
    ):
        TuneStore(tmp_path)
    assert path.read_bytes() == before


def test_a_mock_is_ready_at_once_and_characteristics_come_back(store: TuneStore) -> None:
    made = store.create(title="m", branch="fast", characteristics={"eye_color": "grün"}, pack_id=3)
    assert made.trained_at == made.created_at
    assert (made.is_mock, made.characteristics, made.pack_id) == (True, {"eye_color": "grün"}, 3)
    assert store.get(made.id) == made
    assert store.create(title="no model", branch="sd15").trained_at is None
