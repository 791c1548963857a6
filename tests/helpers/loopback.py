"""A local server that stands in for the Hugging Face hub and the web, with the faults that tests ask for."""

import hashlib
import json
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


@dataclass
class Served:
    """One file, and what goes wrong with it.

    `drops`: after how many bytes the connection breaks, one entry an answer, until none is left; `pause`: seconds
    before each piece; `named`: whether the server states an ETag; `ranges`: whether it answers with a part when asked
    for one; `status`: what it answers instead of the file; `moved_to`: where it sends the client.
    """

    content: bytes = b""
    drops: list[int] = field(default_factory=list)
    pause: float = 0.0
    piece: int = 1 << 16
    named: bool = True
    ranges: bool = True
    status: int = 200
    moved_to: str = ""

    @property
    def sha256(self):
        return hashlib.sha256(self.content).hexdigest()


class Loopback:
    """Serves `web` by path and `repositories` as the hub does; `log` holds `(method, path, range)` of each request.

    What the hub states about a file is taken from `stated`, should a test have put it there, else from the file.
    """

    def __init__(self):
        self.web: dict[str, Served] = {}
        self.repositories: dict[str, dict[str, Served]] = {}
        self.stated: dict[tuple[str, str], bytes] = {}
        self.log: list[tuple[str, str, str]] = []
        self.arrived = threading.Event()  # a file has begun to flow
        self.goes_on = threading.Event()  # cleared: pieces wait
        self.goes_on.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"loopback": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def storage(self):
        """The same server by another name: the hub keeps large files on another host."""
        return f"http://localhost:{self._server.server_port}"

    def commit(self, repo):
        names = json.dumps({name: self.stated_of(repo, name)[1] for name in sorted(self.repositories[repo])})
        return hashlib.sha1(names.encode()).hexdigest()

    def stated_of(self, repo, name):
        content = self.stated.get((repo, name), self.repositories[repo][name].content)
        return len(content), hashlib.sha256(content).hexdigest()

    def add(self, path, content=b"", **faults):
        """Serves a file of the web; returns its address."""
        self.web[path] = Served(content, **faults)
        return self.url + path

    def add_hub(self, repo, files):
        """Serves a data set repository of `{path: bytes or Served}`."""
        self.repositories[repo] = {k: v if isinstance(v, Served) else Served(v) for k, v in files.items()}

    def fetched(self, end):
        """The ranges of the GET requests for paths that end so."""
        return [asked for method, path, asked in self.log if method == "GET" and path.endswith(end)]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Ends the server, so that its address is out of reach."""
        self.goes_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    loopback: Loopback
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def log_message(self, *arguments):
        pass

    def handle(self):
        with suppress(ConnectionError):  # of a client that was killed
            super().handle()

    def _answer(self):
        path = unquote(urlsplit(self.path).path)
        self.loopback.log.append((self.command, path, self.headers.get("Range", "")))
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "datasets"]:
            self._listing("/".join(parts[2:4]))
        elif parts[0] == "datasets" and parts[3] == "resolve":
            self._resolve("/".join(parts[1:3]), parts[4], "/".join(parts[5:]))
        elif parts[0] == "storage":
            repo = "/".join(parts[1:3])
            self._send(self.loopback.repositories[repo]["/".join(parts[3:])])
        elif path in self.loopback.web:
            self._send(self.loopback.web[path])
        else:
            self._empty(404)

    def _listing(self, repo):
        if repo not in self.loopback.repositories:
            self._empty(401, {"X-Error-Code": "RepoNotFound"})
            return
        siblings = []
        for name in self.loopback.repositories[repo]:
            size, sha256 = self.loopback.stated_of(repo, name)
            lfs = {"size": size, "sha256": sha256, "pointerSize": 130}
            siblings.append({"rfilename": name, "size": size, "blobId": "0" * 40, "lfs": lfs})
        text = json.dumps({"id": repo, "sha": self.loopback.commit(repo), "siblings": siblings}).encode()
        self._empty(200, {"Content-Type": "application/json"}, text)

    def _resolve(self, repo, commit, name):
        file = self.loopback.repositories.get(repo, {}).get(name)
        if commit != self.loopback.commit(repo):
            self._empty(404, {"X-Error-Code": "RevisionNotFound"})
            return
        if file is None or file.status != 200:
            status = 404 if file is None else file.status
            self._empty(status, {"X-Error-Code": "EntryNotFound"} if status == 404 else {})
            return
        size, sha256 = self.loopback.stated_of(repo, name)
        about = {"X-Repo-Commit": commit, "X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(size)}
        self._empty(302, {**about, "Location": f"{self.loopback.storage}/storage/{repo}/{name}"})

    def _empty(self, status, headers=None, text=b""):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(text)

    def _send(self, file):
        if file.moved_to:
            self._empty(302, {"Location": file.moved_to})
            return
        if file.status != 200:
            self._empty(file.status)
            return
        begin = self._begin(file)
        if begin and begin == len(file.content):
            self._empty(416, {"Content-Range": f"bytes */{begin}"})
            return
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(file.content) - 1}/{len(file.content)}")
        if file.named:
            self.send_header("ETag", f'"{file.sha256}"')
        self.send_header("Content-Length", str(len(file.content) - begin))
        self.end_headers()
        if self.command == "GET":
            self._flow(file, begin)

    def _begin(self, file):
        """The first byte that is asked for, where the client may ask and means this very file."""
        asked = self.headers.get("Range", "")
        same = self.headers.get("If-Range") in (None, f'"{file.sha256}"')
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked and file.ranges and same else 0

    def _flow(self, file, begin):
        end = len(file.content)
        drop = begin + file.drops.pop(0) if file.drops else end
        for start in range(begin, min(drop, end), file.piece):
            try:
                self.wfile.write(file.content[start : min(start + file.piece, drop)])
                self.wfile.flush()
            except OSError:  # the client has gone
                self.close_connection = True
                return
            self.loopback.arrived.set()
            if not self.loopback.goes_on.wait(30):
                return
            if file.pause:
                threading.Event().wait(file.pause)
        if drop < end:
            self.close_connection = True
