"""Whether anybody answers, asked of servers on this machine."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from moe_keras.data.tfds_download import any_answers

SILENT = "http://data.invalid/file"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server(request):
    """A server with one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(request.param)
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}/file"
        found.shutdown()
        thread.join()


@pytest.mark.parametrize("server", [200, 403, 404, 405], indirect=True)
def test_any_answer_of_the_host_will_do(server):
    assert any_answers([server])
    assert any_answers([SILENT, server])


@pytest.mark.parametrize("server", [407, 502, 503, 504], indirect=True)
def test_the_answer_of_a_proxy_will_not(server):
    assert not any_answers([server])


def test_nobody_there():
    assert not any_answers([SILENT])
    assert not any_answers(["http://127.0.0.1:9/discarded", "no address"])


def test_a_host_that_says_nothing_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}/file"
        start = time.monotonic()
        assert not any_answers([address, SILENT], patience=0.3)
        assert time.monotonic() - start < 2
