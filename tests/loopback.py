"""A web server on this machine alone, with faults to choose from."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served at ``address``, and what was asked for.

    Names that begin with "short" lose their second half on the way, names that begin with "endless" come
    without a length. ``redirects`` holds the file that is sent instead, and the headers that go with it.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    redirects: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    address: str = ""


class Handler(BaseHTTPRequestHandler):
    def __init__(self, site, *args):
        self.site = site
        super().__init__(*args)

    def do_GET(self):
        name = self.path.lstrip("/")
        self.site.asked.append(name)
        if name in self.site.redirects:
            target, headers = self.site.redirects[name]
            self.send_response(302)
            for header, value in {"Location": f"/{target}", **headers}.items():
                self.send_header(header, value)
            self.end_headers()
            return
        if name not in self.site.files:
            self.send_error(404)
            return
        content = self.site.files[name]
        self.send_response(200)
        if not name.startswith("endless"):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if name.startswith("short") else content)

    def log_message(self, *args):
        pass


@contextmanager
def serving() -> Iterator[Site]:
    """A site that is there as long as the block runs."""
    site = Site()
    http = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, site))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.address = f"http://127.0.0.1:{http.server_port}"
    try:
        yield site
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
