"""``groklab dashboard``: serve the pages over a folder of results until Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import html
import ipaddress
import logging
import os
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from groklab.dashboard import maps
from groklab.dashboard.access import Guard
from groklab.dashboard.app import make_app
from groklab.dashboard.catalog import Catalog
from groklab.dashboard.computing import Computing
from groklab.dashboard.controls import Results
from groklab.outside.printable import printable
from groklab.text.values import shown

PORT = 8050
"""Where it is served unless another port is asked for; the next free one where this is taken."""
_TRIED = 20


class _Quiet(WSGIRequestHandler):
    """Answers without a line for each."""

    def log(self, type: str, message: str, *args: object) -> None:
        pass


def serve(
    root: Path, tell: Callable[[str], None], *, host: str = "127.0.0.1", port: int | None = None, with_token: bool = False,
    with_browser: bool = True, plugins: tuple[Path, ...] = (),
) -> int:  # fmt: skip
    """Serve until Ctrl-C, and open a browser; ``tell`` is given lines for whoever started it."""
    if os.path.lexists(root) and not root.is_dir():
        raise ValueError(f"DIR: got {shown(str(root))}, which is no folder; expected the folder of the results.")
    if port is not None and not 0 <= port <= 65535:
        raise ValueError(f"--port: got {port}; expected 0 (any free one) to 65535.")
    server, computing, address = serving(root, host=host, port=port, with_token=with_token, plugins=plugins)
    tell(f"groklab dashboard over {printable(root)}: {address}")
    tell("Ctrl-C ends it; what is being trained goes on.")
    try:
        # One thread for matrix products: beside a training, many are slower than one, and its cores are not taken.
        with threadpool_limits(1), opened_as(address) as place:
            if with_browser:
                threading.Thread(target=webbrowser.open, args=(place,), daemon=True).start()
            server.serve_forever()
    except KeyboardInterrupt:
        tell("")
    finally:
        computing.close()
        maps.close()
        server.server_close()
    return 0


@contextlib.contextmanager
def opened_as(address: str) -> Generator[str, None, None]:
    """The address as a browser may be given it: one with a token as a file that leads there, which only its owner can read.

    What a program is started with is seen by everybody who has an account on the machine.
    """
    if "?token=" not in address:
        yield address
        return
    with tempfile.TemporaryDirectory(prefix="groklab-") as folder:
        path = Path(folder) / "open.html"
        path.touch(mode=0o600)
        path.write_text(
            f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={html.escape(address)}">\n', encoding="utf-8"
        )
        yield path.as_uri()


def serving(
    root: Path, *, host: str = "127.0.0.1", port: int | None = None, with_token: bool = False, plugins: tuple[Path, ...] = ()
) -> tuple[BaseWSGIServer, Computing, str]:
    """A server that is bound and not yet serving, the processes that it may start, and the address to open."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    results = Results(Catalog(root), Computing(plugins))
    bound = _bound(host, [port] if port is not None else range(PORT, PORT + _TRIED))
    number = bound.getsockname()[1]
    guard = Guard.of(host, number, with_token=with_token)
    app = make_app(results, guard)
    server = make_server(host, number, app.server, threaded=True, request_handler=_Quiet, fd=bound.fileno())
    bound.close()  # the server has a copy
    return server, results.computing, f"http://{name_for(host)}:{number}/" + (f"?token={guard.token}" if guard.token else "")


def _bound(host: str, ports: Sequence[int]) -> socket.socket:
    """A socket that listens at the first of some ports that is free; ValueError where none is, or the address is not this machine's."""
    reason = ""
    for port in ports:
        try:
            family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            found = socket.socket(family, kind, protocol)
        except OSError as error:
            reason = error.strerror or str(error)
            break
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(place)
            found.listen(128)
            return found
        except OSError as error:
            found.close()
            reason = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            if error.errno != errno.EADDRINUSE:
                break
    told = f"port {ports[0]}" if len(ports) == 1 else f"any of the ports {ports[0]} to {ports[-1]}"
    raise ValueError(f"While opening {told} of {host}: {reason}. Choose others with --port and --host.")


def name_for(host: str) -> str:
    """How others call what is served at an address: all of a machine's addresses, 0.0.0.0 and ::, by its name."""
    try:
        is_every = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        is_every = False
    return socket.gethostname() if is_every else f"[{host}]" if ":" in host else host
