"""A hub on this machine: as much of the protocol as fetching files needs.

Small files come from the server itself, large ones (LFS) by a redirect to another host,
which signs its addresses. Both note what was asked of them, and fail as they are told.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".h5", ".msgpack")
SIGNATURE = "X-Amz-Signature=very-secret"


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Asked:
    """A request as a server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    host: str

    @property
    def file(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass
class Fault:
    """What goes wrong with some requests, as often as ``times`` says.

    Args:
        pattern: Searched for in "METHOD /path".
        times: How often.
        status: Answered in place of the file.
        error: The hub's own name of the error.
        message: What it says of it.
        cut: Bytes of the body after which the connection ends.
        stalls: Whether nothing is answered until the server stops.
        content: Sent in place of the file's.
        location: Where a redirect leads.
    """

    pattern: str
    times: int = 1
    status: int = 0
    error: str = ""
    message: str = ""
    cut: int | None = None
    stalls: bool = False
    content: bytes | None = None
    location: str = ""


@dataclass
class Repository:
    """Commits and what leads to them.

    Args:
        commits: Files of each commit.
        refs: Branches and tags.
        token: Without it the files are not given.
        is_gated: Whether it may be seen all the same.
    """

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    token: str = ""
    is_gated: bool = False

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        content = json.dumps({n: git_sha1(c) for n, c in sorted(files.items())})
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[ref] = commit
        return commit


class Hub:
    """The two servers; see the module.

    Attributes:
        repositories: By name.
        renamed: Old names and new ones.
        large: Endings of the names of files that lie in the storage.
        is_indirect: Whether small files come by a redirect on the same host, too.
        log: All requests, oldest first.
        faults: What will go wrong.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.renamed: dict[str, str] = {}
        self.is_indirect = False
        self.large = LARGE
        self.log: list[Asked] = []
        self.faults: list[Fault] = []
        self.stopped = threading.Event()
        self._servers = [self._serve(_HubHandler), self._serve(_StorageHandler)]

    def _serve(self, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.hub = self  # type: ignore[attr-defined]
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        return server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def storage(self) -> str:
        # Another name of this machine is another host.
        return f"http://localhost:{self._servers[1].server_port}"

    def stop(self) -> None:
        self.stopped.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def add(self, name: str, files: dict[str, bytes], ref: str = "main") -> str:
        repository = self.repositories.setdefault(name, Repository())
        return repository.commit(files, ref)

    def fail(self, pattern: str, **what) -> None:
        self.faults.append(Fault(pattern, **what))

    def asked(self, method: str = "") -> list[str]:
        """What was asked for, "METHOD last part of the path"."""
        found = [a for a in self.log if not method or a.method == method]
        return [f"{a.method} {a.file}" for a in found]

    def stored(self, checksum: str) -> bytes:
        every = (f for r in self.repositories.values() for f in r.commits.values())
        contents = {hashlib.sha256(c).hexdigest(): c for f in every for c in f.values()}
        return contents[checksum]

    def fault_for(self, asked: Asked) -> Fault | None:
        for fault in self.faults:
            text = f"{asked.method} {asked.path}"
            if fault.times > 0 and re.search(fault.pattern, text):
                fault.times -= 1
                return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        pass

    @property
    def hub(self) -> Hub:
        return self.server.hub

    def do_HEAD(self) -> None:
        self.serve()

    def do_GET(self) -> None:
        self.serve()

    def serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, path, headers, headers["host"])
        self.hub.log.append(asked)
        fault = self.hub.fault_for(asked)
        if self.hub.stopped.is_set():
            # On a connection that was open before.
            self.close_connection = True
        elif fault and fault.stalls:
            self.hub.stopped.wait()
            self.close_connection = True
        elif fault and fault.location:
            self.answer(fault.status, {"Location": fault.location})
        elif old := [name for name in self.hub.renamed if f"/{name}" in path]:
            new = self.path.replace(old[0], self.hub.renamed[old[0]])
            self.answer(307, {"Location": new})
        elif fault and fault.content is not None and "/api/" in path:
            self.answer(200, {}, fault.content)
        elif fault and fault.status:
            self.refuse(fault.status, fault.error, fault.message)
        else:
            self.respond(asked, fault)

    def refuse(self, status: int, error: str = "", message: str = "") -> None:
        headers = {"X-Error-Code": error, "X-Error-Message": message}
        self.answer(status, {name: value for name, value in headers.items() if value})

    def answer(
        self,
        status: int,
        headers: dict[str, str],
        content: bytes = b"",
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content if cut is None else content[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def send_file(self, content: bytes, headers: dict, fault: Fault | None) -> None:
        """A file or what a Range asks of it."""
        if fault and fault.content is not None:
            content = fault.content
        cut = fault.cut if fault else None
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if found is None:
            self.answer(200, headers, content, cut)
            return
        begin, size = int(found[1]), len(content)
        if begin >= size:
            self.refuse(416)
            return
        span = {"Content-Range": f"bytes {begin}-{size - 1}/{size}"}
        self.answer(206, {**headers, **span}, content[begin:], cut)

    def respond(self, asked: Asked, fault: Fault | None) -> None:
        raise NotImplementedError


class _HubHandler(_Handler):
    def respond(self, asked: Asked, fault: Fault | None) -> None:
        api = re.fullmatch(r"/api/models/(.+?)(/revision/(.+)|/refs)?", asked.path)
        file = re.fullmatch(r"/(.+?)/(?:resolve|direct)/(.+)", asked.path)
        name = (api or file)[1] if api or file else ""
        repository = self.hub.repositories.get(name)
        given = asked.headers.get("authorization", "")
        if given == "Bearer hf_expired":
            message = "Invalid credentials in Authorization header"
            self.refuse(401, message=message)
            return
        may_read = repository and given in (f"Bearer {repository.token}", "Bearer ")
        if repository is not None and repository.token and not may_read:
            if not repository.is_gated:
                repository = None
            elif file:
                self.refuse(403 if given else 401, "GatedRepo", "Access is restricted.")
                return
        if repository is None:
            self.refuse(404 if given else 401, "RepoNotFound", "Repository not found")
        elif api and api[2] == "/refs":
            refs = repository.refs.items()
            branches = [
                {"name": n, "ref": f"refs/heads/{n}", "targetCommit": c}
                for n, c in refs
            ]
            self.send_json({"branches": branches, "tags": [], "converts": []})
        elif api:
            self.list_files(repository, name, api[3] or "main")
        else:
            self.give(repository, asked, file[2], fault)

    def commit_of(self, repository: Repository, revision: str) -> str | None:
        if revision in repository.commits:
            return revision
        return repository.refs.get(revision)

    def list_files(self, repository: Repository, name: str, revision: str) -> None:
        commit = self.commit_of(repository, revision)
        if commit is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        siblings = []
        for path, content in repository.commits[commit].items():
            entry = {"rfilename": path, "size": len(content)}
            entry["blobId"] = git_sha1(content)
            if path.endswith(self.hub.large):
                checksum = hashlib.sha256(content).hexdigest()
                lfs = {"sha256": checksum, "size": len(content), "pointerSize": 130}
                entry["lfs"] = lfs
            siblings.append(entry)
        self.send_json({"id": name, "sha": commit, "siblings": siblings})

    def send_json(self, values: object) -> None:
        kind = {"Content-Type": "application/json"}
        self.answer(200, kind, json.dumps(values).encode())

    def give(
        self, repository: Repository, asked: Asked, rest: str, fault: Fault | None
    ) -> None:
        # The revision is quoted in the address, so what comes before may have slashes.
        parts = rest.split("/")
        for count in range(len(parts) - 1, 0, -1):
            commit = self.commit_of(repository, "/".join(parts[:count]))
            if commit is not None:
                break
        else:
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
            return
        headers = {"X-Repo-Commit": commit}
        path = "/".join(parts[count:])
        content = repository.commits[commit].get(path)
        if content is None:
            self.answer(404, {**headers, "X-Error-Code": "EntryNotFound"})
        elif path.endswith(self.hub.large):
            checksum = hashlib.sha256(content).hexdigest()
            headers["X-Linked-Etag"] = f'"{checksum}"'
            headers["X-Linked-Size"] = len(content)
            headers["Location"] = f"{self.hub.storage}/{checksum}?{SIGNATURE}"
            self.answer(302, headers)
        elif self.hub.is_indirect and "/resolve/" in asked.path:
            there = asked.path.replace("/resolve/", "/direct/")
            self.answer(307, {"Location": there})
        else:
            headers["ETag"] = f'"{git_sha1(content)}"'
            if self.command == "HEAD":
                headers["Content-Length"] = len(content)
            self.send_file(content, headers, fault)


class _StorageHandler(_Handler):
    def respond(self, asked: Asked, fault: Fault | None) -> None:
        if "authorization" in asked.headers or SIGNATURE not in self.path:
            self.refuse(400, message="a token, or no signature")
            return
        if asked.method == "HEAD":
            self.refuse(403, message="signed for GET")
            return
        # The real one names the file; else its address, signature and all, would be
        # what a progress bar shows.
        named = {"Content-Disposition": 'inline; filename="weights";'}
        self.send_file(self.hub.stored(asked.file), named, fault)
