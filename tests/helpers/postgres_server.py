"""A PostgreSQL server on loopback for the tests: started, stopped, killed and started again."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PASSWORD = "planted%Secret"  # of the tests' own server; they look for it in everything that is written
QUOTED = "planted%25Secret"


def programs() -> Path | None:
    """The folder with initdb and postgres; None where they are not installed."""
    places = [shutil.which("postgres"), *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin/postgres")))]
    for place in filter(None, places):
        folder = Path(place).resolve().parent
        if (folder / "initdb").exists():
            return folder
    return None


class PostgresServer:
    """A server with an empty database, as the user `postgres` where the tests run as root (which it refuses)."""

    def __init__(self) -> None:
        self.bin = programs()
        self.folder = Path(tempfile.mkdtemp(prefix="rec-gym-postgres-"))
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, pwd.getpwnam(self.user).pw_gid)
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o644)
        run = [self.bin / "initdb", "-D", self.folder / "data", "-A", "scram-sha-256", "-U", "gym", "-E", "UTF8"]
        with open(self.folder / "initdb.log", "wb") as log:
            subprocess.run(
                [
                    *run,
                    "--locale-provider=icu",
                    "--icu-locale=en-US",
                    "--locale=C.UTF-8",
                    f"--pwfile={self.folder / 'password'}",
                    "--no-sync",
                ],
                **self._as_user(),
                check=True,
                stdout=log,
                stderr=log,
            )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def _as_user(self) -> dict:
        owner = {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": []} if self.user else {}
        return {"cwd": self.folder, **owner}

    def url_at(self, port: int) -> str:
        """The URL, by way of another port."""
        return f"postgresql://gym:{QUOTED}@127.0.0.1:{port}/postgres"

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    def start(self) -> None:
        """Starts the server and waits until it takes connections."""
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder), "fsync": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), *options],
                **self._as_user(),
                stdout=log,
                stderr=log,
            )
        for _ in range(300):
            ready = subprocess.run(
                [self.bin / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)], stdout=subprocess.DEVNULL
            )
            if ready.returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'server.log').read_text()[-2000:]}")

    def kill(self) -> None:
        """As when the machine loses its power: immediate shut-down, all connections lost."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
