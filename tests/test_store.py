import json
import math
import os
import pickle
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from damage import Damage, damages
from hypothesis import example, given
from samples import changed, disk_that_is_full_after, result

from trainer.errors import StoreError
from trainer.stages.store import DamagedState, StageStore
from trainer.training.state import digest

RESULT = result(3, running_loss=0.1 + 0.2, lr=1e-4 / 3)


def state(fill: float = 1.0) -> dict[str, Any]:
    """A state of a few thousand bytes."""
    return {"model": {"weight": torch.full((32, 32), fill)}, "optimizer": {"state": {}}}


def path_of(store: StageStore, key: str) -> Path:
    """The file that the state of a key lies in."""
    (path,) = Path(store.url).glob(f"states/{key}*")
    return path


@pytest.fixture(params=["folder", "memory", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> StageStore:
    """A store in a folder, one at a URL that only fsspec knows, and one in a bucket."""
    if request.param == "folder":
        return StageStore(tmp_path / "stages")
    place = "memory:/" if request.param == "memory" else request.getfixturevalue("s3")
    return StageStore(f"{place}/{uuid.uuid4().hex}/stages")


def test_a_result_comes_back_as_it_went(any_store: StageStore) -> None:
    """Every field, to the last bit; under another key there is nothing."""
    assert any_store.result("aa11") is None
    any_store.put_result("aa11", RESULT)
    assert any_store.result("aa11") == RESULT
    assert any_store.result("aa12") is None


def test_a_result_that_is_not_a_number_comes_back_too(any_store: StageStore) -> None:
    """A diverged epoch is a result like any other, and is not trained again."""
    any_store.put_result("aa11", changed(RESULT, train_loss=math.nan, val_loss=-math.inf))
    got = any_store.result("aa11")
    assert got is not None
    assert math.isnan(got.train_loss)
    assert got.val_loss == -math.inf


def test_a_state_comes_back_bit_for_bit(any_store: StageStore) -> None:
    """Types, shapes, memory format, numbers, and the bits of what is no number."""
    odd = torch.tensor([0x7FC00001, -1, 1, -(2**31)], dtype=torch.int32).view(torch.float32)
    images = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    kept: dict[str, Any] = {
        "model": {"odd": odd, "images": images, "half": torch.randn(3).bfloat16()},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1 / 3}]},
    }
    any_store.put_state("k", kept)
    got = any_store.state("k")
    assert got is not None
    assert digest(got) == digest(kept)
    assert got["optimizer"]["param_groups"] == [{"lr": 1 / 3}]
    assert got["model"]["images"].is_contiguous(memory_format=torch.channels_last)


def test_what_is_not_there_is_none_and_not_an_error(any_store: StageStore) -> None:
    """An empty store needs no preparation."""
    assert any_store.state("k") is None
    assert not any_store.has_state("k")
    assert any_store.result("k") is None
    assert any_store.evict(keep=()) == 0


def test_what_is_put_again_replaces_what_was_there(any_store: StageStore) -> None:
    """The last one stands."""
    any_store.put_state("k", state(1.0))
    any_store.put_state("k", state(2.0))
    got = any_store.state("k")
    assert got is not None
    assert digest(got) == digest(state(2.0))


def test_two_stores_on_one_folder_see_the_same(tmp_path: Path) -> None:
    """Whoever put it, in whichever process, it is there."""
    StageStore(tmp_path / "s").put_state("k", state())
    StageStore(str(tmp_path / "s")).put_result("k", RESULT)
    other = StageStore(f"file://{tmp_path / 's'}")
    assert other.has_state("k")
    assert other.result("k") == RESULT


def test_a_store_can_be_sent_to_another_process(any_store: StageStore) -> None:
    """Workers are given the store itself."""
    sent: StageStore = pickle.loads(pickle.dumps(any_store))
    assert (sent.url, sent.budget) == (any_store.url, any_store.budget)


@given(damage=damages())
@example(damage=lambda blob: b"")
@example(damage=lambda blob: blob + b"\0")
def test_a_damaged_state_is_said_once_and_then_missing(
    damage: Damage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whichever bit flipped and wherever it was cut off, nobody trains on from it."""
    store = StageStore(tmp_path_factory.mktemp("stages"))
    store.put_state("k", state())
    path = path_of(store, "k")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedState, match=r"stored state .*k\.pt was damaged and is trained"):
        store.state("k")
    assert not store.has_state("k")
    assert store.state("k") is None


@given(damage=damages())
def test_a_damaged_result_never_gives_other_numbers(
    damage: Damage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It counts as missing, unless the number is the same, as where its 18th digit changed."""
    store = StageStore(tmp_path_factory.mktemp("stages"))
    store.put_result("aa11", RESULT)
    (path,) = Path(store.url).rglob("aa11*")
    path.write_bytes(damage(path.read_bytes()))
    assert store.result("aa11") in (None, RESULT)
    store.put_result("aa11", RESULT)
    assert store.result("aa11") == RESULT


def test_a_result_of_before_there_were_checksums_is_read(store: StageStore) -> None:
    """It counts, though nothing says whether it is whole."""
    path = Path(store.url, "results", "aa", "aa11.json")
    path.parent.mkdir(parents=True)
    path.write_text(RESULT.to_json())
    assert store.result("aa11") == RESULT


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"null", b'{"epoch": 3}'])
def test_a_damaged_result_counts_as_missing(store: StageStore, content: bytes) -> None:
    """Its epoch is trained again, and the result replaced."""
    store.put_result("aa11", RESULT)
    (path,) = Path(store.url).rglob("aa11*")
    path.write_bytes(content)
    assert store.result("aa11") is None
    store.put_result("aa11", RESULT)
    assert store.result("aa11") == RESULT


def test_a_state_that_would_run_code_counts_as_damaged(store: StageStore, tmp_path: Path) -> None:
    """A store can be shared with people one trusts less than one's own code."""

    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    store.put_state("k", {"model": Evil()})
    with pytest.raises(DamagedState, match="was damaged and is trained again"):
        store.state("k")
    assert not store.has_state("k")
    assert not (tmp_path / "ran").exists()


def test_what_a_failing_writer_wrote_is_never_seen(store: StageStore) -> None:
    """On a full disk the old state and the old result stand, and no half of a new one is left."""
    store.put_state("old", state(1.0))
    store.put_result("old", RESULT)
    with disk_that_is_full_after(100):
        for key in ("old", "new"):
            with pytest.raises(StoreError, match=r"stage store .* cannot be written: .+"):
                store.put_state(key, state(2.0))
            with pytest.raises(StoreError, match="cannot be written"):
                store.put_result(key, replace(RESULT, epoch=4))
    got = store.state("old")
    assert got is not None
    assert digest(got) == digest(state(1.0))
    assert store.result("old") == RESULT
    assert not store.has_state("new")
    assert store.result("new") is None
    assert len([path for path in Path(store.url).rglob("*") if path.is_file()]) == 2


def test_readers_never_meet_half_a_state(store: StageStore) -> None:
    """While others write the same state again and again, each read gives a whole one."""
    store.put_state("k", state(0.0))
    whole = {digest(state(float(fill))) for fill in range(4)}

    def write(fill: float) -> None:
        for _ in range(20):
            store.put_state("k", state(fill))

    threads = [threading.Thread(target=write, args=(float(fill),)) for fill in range(1, 4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        got = store.state("k")
        assert got is not None
        assert digest(got) in whole
    for thread in threads:
        thread.join()


def filled(store: StageStore, count: int) -> int:
    """Put states 0 to `count`, each a minute older than the next; the size of one."""
    for number in range(count):
        store.put_state(f"k{number}", state(float(number)))
        os.utime(path_of(store, f"k{number}"), (now := time.time() - 60 * (count - number), now))
    return path_of(store, "k0").stat().st_size


def there(store: StageStore) -> list[str]:
    """Keys of the states that are stored."""
    return sorted(path.stem for path in Path(store.url).glob("states/*.pt"))


def test_the_states_unused_for_longest_make_room(store: StageStore) -> None:
    """As many as the budget asks for, and no more; reading a state is using it."""
    size = filled(store, 5)
    store.budget = 3 * size
    assert store.state("k0") is not None
    assert store.evict(keep=()) == 2
    assert there(store) == ["k0", "k3", "k4"]
    assert store.evict(keep=()) == 0
    store.budget -= 1
    assert store.evict(keep=()) == 1
    assert there(store) == ["k0", "k4"]


def test_states_to_keep_are_kept_whatever_the_budget(store: StageStore) -> None:
    """What running trials stand on is never taken from them, though it be the oldest."""
    filled(store, 4)
    store.budget = 0
    assert store.evict(keep={"k0", "k2", "other"}) == 2
    assert there(store) == ["k0", "k2"]


def test_what_another_process_needs_is_not_evicted(any_store: StageStore) -> None:
    """It says what it keeps; what it no longer names is free, as is all at its end."""
    other = StageStore(any_store.url, budget=0)
    for key in ("mine", "theirs", "nobody"):
        any_store.put_state(key, state())
    any_store.keep({"mine"})
    assert other.evict(keep={"theirs"}) == 1
    assert any_store.has_state("mine")
    assert any_store.has_state("theirs")
    any_store.release()
    assert other.evict(keep={"theirs"}) == 1
    assert not any_store.has_state("mine")
    assert any_store.has_state("theirs")


def test_what_another_process_puts_into_a_bucket_or_evicts_is_seen_at_once(s3: str) -> None:
    """Though this one has listed it before, as it does after each epoch."""
    mine = StageStore(f"{s3}/{uuid.uuid4().hex}/stages")
    theirs = StageStore(mine.url, budget=0)
    theirs._fs = type(mine._fs)(skip_instance_cache=True)
    mine.put_state("old", state())
    mine.evict(keep={"old"})
    theirs.put_state("new", state())
    assert mine.has_state("new")
    assert mine.state("new") is not None
    assert theirs.evict(keep=()) == 1
    assert not mine.has_state("new")
    assert mine.state("new") is None


def test_a_signed_store_is_known_from_a_copy_of_the_object(
    any_store: StageStore, tmp_path: Path
) -> None:
    """Until it is released, also where nothing is kept; another store is another one."""
    any_store.sign()
    copy = pickle.loads(pickle.dumps(any_store))
    any_store.evict(keep=())
    assert copy.is_same()
    assert not StageStore(any_store.url).is_same()
    any_store.release()
    assert not copy.is_same()


def test_what_a_process_needed_that_died_is_kept_for_a_day(store: StageStore) -> None:
    """Then it may be evicted, and its name is forgotten."""
    store.put_state("k", state())
    store.evict(keep={"k"})
    other = StageStore(store.url, budget=0)
    (note,) = Path(store.url).glob("kept/*")
    os.utime(note, (old := time.time() - 86300, old))
    assert other.evict(keep=()) == 0
    os.utime(note, (old := time.time() - 86500, old))
    assert other.evict(keep=()) == 1
    assert not note.exists()


def test_results_are_never_evicted(any_store: StageStore) -> None:
    """A number that was reported once can always be looked up."""
    for number in range(3):
        any_store.put_state(f"k{number}", state())
        any_store.put_result(f"k{number}", RESULT)
    any_store.budget = 0
    assert any_store.evict(keep=()) == 3
    for number in range(3):
        assert not any_store.has_state(f"k{number}")
        assert any_store.result(f"k{number}") == RESULT


def test_what_a_killed_writer_left_is_not_a_state_and_goes_after_an_hour(
    store: StageStore,
) -> None:
    """A younger one may belong to a process that still writes; once gone, its room is free."""
    size = filled(store, 2)
    folder = path_of(store, "k0").parent
    old, young = folder / "k9.pt.12.tmp", folder / "k9.pt.34.tmp"
    for path, age in ((old, 3700.0), (young, 3500.0)):
        path.write_bytes(bytes(size))
        os.utime(path, (now := time.time() - age, now))
    store.budget = 3 * size
    assert store.evict(keep=()) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["k0.pt", "k1.pt", young.name]
    assert not store.has_state("k9")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # botocore leaves what it opened
def test_what_a_client_of_s3_raises_is_one_line(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its errors are no errors of the operating system: nobody said who is asking, here."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    fsspec.filesystem("s3").clear_instance_cache()
    store = StageStore(f"{s3}/{uuid.uuid4().hex}/stages")
    for use in (
        lambda: store.put_result("aa11", RESULT),
        lambda: store.result("aa11"),
        lambda: store.has_state("k"),
        store.is_same,
    ):
        with pytest.raises(StoreError, match=r"^The stage store .* Unable to locate credentials"):
            use()
    fsspec.filesystem("s3").clear_instance_cache()


@pytest.mark.parametrize("url", ["nosuch://bucket/stages", "abc+def://x"])
def test_a_url_that_fsspec_does_not_know_is_an_error(url: str) -> None:
    """The user reads which URL it is."""
    with pytest.raises(StoreError, match=r".*:// ?.* cannot be a stage store: .+"):
        StageStore(url)


def test_a_store_that_cannot_be_is_an_error_in_one_line(tmp_path: Path) -> None:
    """A file in the place of the folder is told as such, for reading and for writing."""
    (tmp_path / "file").write_text("not a folder")
    store = StageStore(tmp_path / "file" / "stages")
    for use in (
        lambda: store.result("aa11"),
        lambda: store.state("k"),
        lambda: store.put_state("k", state()),
        lambda: store.put_result("aa11", RESULT),
    ):
        with pytest.raises(StoreError, match=r"stage store .*stages cannot be (read|written): .+"):
            use()


def test_a_result_is_a_line_of_json(store: StageStore) -> None:
    """People can read the store with what they have at hand."""
    store.put_result("aa11", RESULT)
    text = (Path(store.url) / "results" / "aa" / "aa11.json").read_text()
    assert json.loads(text)["values"]["val_loss"] == 2.2
