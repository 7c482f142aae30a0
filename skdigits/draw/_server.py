"""The server of the page: it predicts with the models themselves, and files drawings.

It listens on this machine alone, and answers those who know its address: a token in the
path keeps other programs and other web pages out, and the check of Host and Origin
keeps out names that point here. One thread does all, one request after another.
"""

import hmac
import json
import re
import secrets
import selectors
import socket
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from skdigits.draw._drawings import Drawings
from skdigits.draw._page import TITLE, composed, named
from skdigits.draw._reader import SIDE, Reader, drawing_of

ADDRESS = "127.0.0.1"
LARGEST_BODY = SIDE * SIDE
# Of a refused body, so much is read, or browsers do not see the answer.
DRAINED = 2**23
SECONDS = 5.0  # that a request may pause
# Browsers open connections in advance; so many may wait.
MOST_WAITING = 32

Answer: TypeAlias = tuple[str, bytes]
"""Type and content of an answer."""


class RefusedError(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason


class DrawServer(HTTPServer):
    """Server of one page.

    Parameters
    ----------
    readers : sequence of Reader
        The models.
    port : int, default=0
        Port to listen on; 0 is a free one.
    title : str, default="Draw a digit"
        Title of the page.
    drawings : Drawings, default=None
        Where labelled drawings are filed; None files none.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        port: int = 0,
        *,
        title: str = TITLE,
        drawings: Drawings | None = None,
    ):
        self.readers = list(readers)
        self.drawings = drawings
        models = named([reader.record for reader in self.readers])
        data = {"models": models, "server": True, "save": drawings is not None}
        self.page = composed(title, data, asks=True).encode()
        self.token = secrets.token_urlsafe(16)
        self.stopped = False
        super().__init__((ADDRESS, port), Handler)

    @property
    def hosts(self) -> list[str]:
        """The names under which browsers on this machine know the server."""
        return [f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")]

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{self.hosts[0]}/{self.token}/"

    def serve(self) -> None:
        """Answer requests until `stop` is called.

        A connection has its turn once it says something: one that a browser has opened
        in advance keeps nobody waiting.
        """
        waiting: list[socket.socket] = []
        while not self.stopped:
            with selectors.DefaultSelector() as selector:
                for each in (self.socket, *waiting):
                    selector.register(each, selectors.EVENT_READ)
                ready = [key.fileobj for key, _ in selector.select(0.2)]

            for each in [one for one in waiting if one in ready]:
                waiting.remove(each)
                self._serve_one(each)
            if self.socket in ready:
                waiting += self._accepted()
            for old in waiting[:-MOST_WAITING]:
                waiting.remove(old)
                self.shutdown_request(old)
        for each in waiting:
            self.shutdown_request(each)

    def _accepted(self) -> list[socket.socket]:
        # A connection may be gone before it is accepted.
        try:
            return [self.socket.accept()[0]]
        except OSError:
            return []

    def _serve_one(self, connection: socket.socket) -> None:
        address = (ADDRESS, 0)
        try:
            connection.settimeout(SECONDS)
            self.process_request(connection, address)
        except OSError:  # the client went away in the middle
            self.shutdown_request(connection)
        except Exception:
            self.handle_error(connection, address)  # prints it
            self.shutdown_request(connection)

    def stop(self) -> None:
        """Let `serve` return."""
        self.stopped = True


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: DrawServer
    server_version = "skdigits"
    sys_version = ""
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"
    timeout = SECONDS

    def do_GET(self) -> None:
        """Answer with the page."""
        self._answer({"": self._page})

    def do_POST(self) -> None:
        """Predict, or file a drawing."""
        self._answer({"predict": self._predict, "save": self._save})

    def _answer(self, places: dict[str, Callable[[str], Answer]]) -> None:
        try:
            self._check_origin()
            place, query = self._place()
            if place not in places:
                raise RefusedError(HTTPStatus.NOT_FOUND, "There is nothing here.")
            kind, content = places[place](query)
        except RefusedError as refused:
            self._say(refused.status, refused.reason)
        except ValueError as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
        except TimeoutError:
            self._say(HTTPStatus.REQUEST_TIMEOUT, "The request took too long.")
        except Exception as error:
            # The model's own errors, of any kind, are told to the user.
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            self._say(status, f"{type(error).__name__}: {error}")
        else:
            self._send(HTTPStatus.OK, kind, content)

    def _check_origin(self) -> None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            reason = f"This server is {self.server.hosts[0]}, and has no other name."
            raise RefusedError(HTTPStatus.FORBIDDEN, reason)

        origins = [f"http://{host}" for host in self.server.hosts]
        if any(one not in origins for one in self.headers.get_all("Origin", [])):
            reason = "Pages from elsewhere are not answered."
            raise RefusedError(HTTPStatus.FORBIDDEN, reason)

    def _place(self) -> tuple[str, str]:
        """Return what follows the token in the path, and the query."""
        url = urlsplit(self.path)
        _, token, *places = [*url.path.split("/"), ""][:3]
        known = hmac.compare_digest(token.encode(), self.server.token.encode())
        if not known or url.path.count("/") != 2:
            reason = "Open the address that was printed."
            raise RefusedError(HTTPStatus.NOT_FOUND, reason)
        return places[0], url.query

    def _body(self) -> bytes:
        """Return the body of a request, of a length that is known and small."""
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or not lengths:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing.")
        # int() would take signs, blanks and underscores as well.
        if len(lengths) > 1 or not re.fullmatch("[0-9]+", lengths[0]):
            reason = f"Content-Length={lengths!r} must be one whole number."
            raise RefusedError(HTTPStatus.BAD_REQUEST, reason)
        if len(lengths[0]) > 15 or int(lengths[0]) > LARGEST_BODY:
            reason = f"The body is longer than {LARGEST_BODY} bytes."
            self.close_connection = True
            self._drain()
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
        return self.rfile.read(int(lengths[0]))

    def _drain(self) -> None:
        left = DRAINED
        self.connection.settimeout(0.5)
        try:
            while left > 0 and (read := self.rfile.read1(2**16)):
                left -= len(read)
        except TimeoutError:
            pass

    def _page(self, query: str) -> Answer:
        return "text/html; charset=utf-8", self.server.page

    def _predict(self, query: str) -> Answer:
        drawing = drawing_of(self._body())
        return _json([reader.read(drawing) for reader in self.server.readers])

    def _save(self, query: str) -> Answer:
        drawing = drawing_of(self._body())
        if self.server.drawings is None:
            reason = "The server was started without --save."
            raise RefusedError(HTTPStatus.NOT_FOUND, reason)
        numbers = parse_qs(query).get("class", [])
        if len(numbers) != 1 or not re.fullmatch("[0-9]{1,9}", numbers[0]):
            raise ValueError(f"class={numbers!r} must be the number of one class.")

        picture = self.server.readers[0].picture(drawing)
        file = self.server.drawings.add(int(numbers[0]), picture)
        return _json({"file": str(file)})

    def _say(self, status: HTTPStatus, reason: str) -> None:
        self._send(status, "text/plain; charset=utf-8", f"{reason}\n".encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Leave the terminal to what matters."""


def _json(values: Any) -> Answer:
    return "application/json", json.dumps(values, allow_nan=False).encode()
