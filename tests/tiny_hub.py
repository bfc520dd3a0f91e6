"""A small Hugging Face Hub on loopback for tests: repositories in memory, and faults on demand."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq


def parquet_bytes(columns: dict[str, list[Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def class_label_card(config: str, column_types: dict[str, str | list[str]], splits: dict[str, str]) -> str:
    """A dataset card whose columns are strings, or ClassLabels where a list of names is given."""
    lines = ["---", "configs:", f"- config_name: {config}", "  data_files:"]
    for split, path in splits.items():
        lines += [f"  - split: {split}", f"    path: {path}"]
    lines += ["dataset_info:", f"  config_name: {config}", "  features:"]
    for name, kind in column_types.items():
        lines += [f"  - name: {name}"]
        if isinstance(kind, str):
            lines += [f"    dtype: {kind}"]
        else:
            lines += ["    dtype:", "      class_label:", "        names:"]
            lines += [f"          '{i}': {label}" for i, label in enumerate(kind)]
    return "\n".join([*lines, "---", ""])


@dataclass
class Faults:
    """What goes wrong; each counter is how many of the next requests of that sort are hit."""

    answer_busy: int = 0
    busy_status: int = 503
    cut_file: int = 0
    corrupt_file: int = 0


@dataclass
class TinyHub:
    """Repositories by id, then revision, then path. `requests` counts what was asked."""

    repos: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    requests: int = 0

    def add(self, repo: str, files: dict[str, bytes | str], revision: str = "main") -> None:
        encoded = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}
        self.repos.setdefault(repo, {})[revision] = encoded

    def commit(self, repo: str, revision: str) -> str:
        digest = hashlib.sha1(f"{repo}@{revision}".encode())
        for path, data in sorted(self.repos[repo][revision].items()):
            digest.update(path.encode() + b"\0" + data)
        return digest.hexdigest()

    def find(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        for name, files in self.repos.get(repo, {}).items():
            if revision in (name, self.commit(repo, name)):
                return self.commit(repo, name), files
        return None

    def start(self) -> str:
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: TinyHub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def do_POST(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        self.hub.requests += 1
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.hub.faults.answer_busy > 0:
            self.hub.faults.answer_busy -= 1
            return self.send(self.hub.faults.busy_status, b"{}", with_body)
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if parts[:2] == ["api", "datasets"]:
            return self.api("/".join(parts[2:4]), parts[4:], parse_qs(url.query), body, with_body)
        if parts[0] == "datasets" and parts[3] == "resolve":
            return self.file("/".join(parts[1:3]), parts[4:], with_body)
        code = "RepoNotFound" if parts[:2] == ["api", "models"] else "EntryNotFound"
        return self.send(404, b"{}", with_body, {"X-Error-Code": code})

    def locate(self, repo: str, rest: list[str]) -> tuple[str, dict[str, bytes], str] | None:
        size = 3 if rest[:1] == ["refs"] else 1
        found = self.hub.find(repo, "/".join(rest[:size]) or "main")
        if found is None:
            code = "RevisionNotFound" if repo in self.hub.repos else "RepoNotFound"
            self.send(404, b"{}", self.command != "HEAD", {"X-Error-Code": code, "X-Error-Message": code})
            return None
        return found[0], found[1], "/".join(rest[size:])

    def api(self, repo: str, rest: list[str], query: dict[str, list[str]], body: bytes, with_body: bool) -> None:
        verb, args = (rest[0], rest[1:]) if rest else ("revision", [])
        found = self.locate(repo, args)
        if found is None:
            return None
        commit, files, inside = found
        if verb == "revision":
            siblings = [{"rfilename": path} for path in sorted(files)]
            info = {"_id": commit[:24], "id": repo, "sha": commit, "siblings": siblings, "private": False, "tags": []}
            return self.send_json(info, with_body)
        if verb == "tree":
            inside = inside.rstrip("/")
            below = {p: d for p, d in files.items() if not inside or p.startswith(inside + "/")}
            if inside and not below:
                return self.send(404, b"{}", with_body, {"X-Error-Code": "EntryNotFound"})
            folders = {p.rsplit("/", n)[0] for p in below for n in range(1, p.count("/") + 1)} - {inside}
            entries = [self.entry(p, d) for p, d in sorted(below.items())]
            entries += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": p} for p in sorted(folders)]
            if query.get("recursive", ["false"])[0].lower() not in ("true", "1"):
                depth = inside.count("/") + 1 if inside else 0
                entries = [e for e in entries if e["path"].count("/") == depth]
            return self.send_json(entries, with_body)
        if verb == "paths-info":
            is_json = "json" in (self.headers.get("Content-Type") or "")
            paths = (json.loads(body) if is_json else parse_qs(body.decode())).get("paths", [])
            return self.send_json([self.entry(p, files[p]) for p in paths if p in files], with_body)
        return self.send(404, b"{}", with_body)

    @staticmethod
    def entry(path: str, data: bytes) -> dict[str, Any]:
        return {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": path}

    def file(self, repo: str, rest: list[str], with_body: bool) -> None:
        found = self.locate(repo, rest)
        if found is None:
            return None
        commit, files, path = found
        if path not in files:
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}
            return self.send(404, b"{}", with_body, headers)
        data = files[path]
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": commit}
        faults = self.hub.faults
        if with_body and path.endswith(".parquet") and faults.corrupt_file > 0:
            faults.corrupt_file -= 1
            middle = len(data) // 2
            data = data[:middle] + bytes(b ^ 0xFF for b in data[middle : middle + 8]) + data[middle + 8 :]
        if with_body and path.endswith(".parquet") and faults.cut_file > 0:
            faults.cut_file -= 1
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            return None
        return self.send(200, data, with_body, headers)

    def send_json(self, value: Any, with_body: bool) -> None:
        self.send(200, json.dumps(value).encode(), with_body, {"Content-Type": "application/json"})

    def send(self, status: int, data: bytes, with_body: bool, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)
