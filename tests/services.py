"""PostgreSQL, S3 and MLflow's server, as teams run them, on this machine."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers import free_port, mlflow_server

if TYPE_CHECKING:
    import psycopg

MACHINES = Path(__file__).parents[1] / "docs" / "machines.md"
_PATIENCE_SECONDS = 60
_DEBIAN = Path("/usr/lib/postgresql")  # whose programs are not on the PATH


@contextmanager
def postgres(*databases: str) -> Iterator[str]:
    """The address of a PostgreSQL server with these empty databases; it never waits for a disk."""
    programs = _programs()
    port = free_port()
    url = f"postgresql://postgres@127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="postgres", ignore_cleanup_errors=True) as folder:
        user = _unprivileged()
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        run: dict[str, Any] = {
            "cwd": folder,
            "user": user and user.pw_uid,
            "group": user and user.pw_gid,
        }
        data = ["-D", f"{folder}/data"]
        made = [programs / "initdb", *data, "--username=postgres", "--auth=trust", "--no-sync"]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, **run)
        settings = ["listen_addresses=127.0.0.1", f"port={port}", "fsync=off"]
        settings += ["unix_socket_directories=", "log_min_messages=fatal"]
        words = [programs / "postgres", *data, *(part for it in settings for part in ("-c", it))]
        run |= {"start_new_session": True, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(words, **run) as server:
            try:
                with _answering(f"{url}/postgres") as connection:
                    for name in databases:
                        connection.execute(f"CREATE DATABASE {name}")
                yield url
            finally:
                server.send_signal(signal.SIGINT)  # ends its sessions, and then itself


def _answering(url: str) -> psycopg.Connection:
    """A connection to a server that is just being started."""
    import psycopg

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return psycopg.connect(url, autocommit=True)
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _programs() -> Path:
    """The folder of PostgreSQL's programs; without them the test is skipped, but fails in CI."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    if versions := sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda it: int(it.parts[-3])):
        return versions[-1].parent
    if os.environ.get("CI"):
        pytest.fail("PostgreSQL must be there, but no initdb is.")
    pytest.skip("PostgreSQL is not installed here (Debian and Ubuntu: apt install postgresql).")


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as where this process is root, which it refuses."""
    if os.getuid():
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres", names["nobody"])


@contextmanager
def bucket(name: str) -> Iterator[dict[str, str]]:
    """The variables by which all clients of S3 find a server, of moto's, with this bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        found = {"AWS_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1"}
        found |= {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
        with pytest.MonkeyPatch.context() as patch:
            for variable, value in found.items():
                patch.setenv(variable, value)
            boto3.client("s3").create_bucket(Bucket=name)
        yield found
    finally:
        server.stop()


@contextmanager
def documented_mlflow(folder: Path, database: str) -> Iterator[str]:
    """The address of an MLflow server that is started as docs/machines.md says."""
    (line,) = re.findall(r"^    mlflow (server .*)$", MACHINES.read_text(), re.MULTILINE)
    words = line.replace("--host 10.0.0.1 --port 5000 ", "").split()
    assert "postgresql://db" in line
    words = [word.replace("postgresql://db", database) for word in words]
    with mlflow_server(folder, words) as url:
        yield url


def objects(name: str) -> list[str]:
    """The keys of what a bucket has, at most a thousand."""
    import boto3

    return [it["Key"] for it in boto3.client("s3").list_objects_v2(Bucket=name)["Contents"]]
