import socket
from pathlib import Path

import pytest

from trainer.data.download import SCRATCH, check_reachable, limit_waiting, temporary_folder
from trainer.errors import DataError


def test_a_home_that_refuses_is_an_error_that_says_so() -> None:
    """Nothing listens at the port, which was free a moment ago."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with pytest.raises(DataError, match=r"it cannot be reached \(.*refused"):
        check_reachable(url)
    with pytest.raises(DataError, match="it cannot be reached"), limit_waiting(url):
        raise AssertionError("nothing is to be downloaded")


def test_a_temporary_folder_goes_with_its_end_and_with_the_next(tmp_path: Path) -> None:
    """An interrupted download leaves nothing, and what a killed process left is removed."""
    (tmp_path / f"{SCRATCH}abc").mkdir()
    (tmp_path / "kept").mkdir()

    def interrupted() -> None:
        with temporary_folder(tmp_path) as temporary:
            (temporary / "half").write_bytes(b"half a download")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
