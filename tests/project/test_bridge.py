"""The bridge between the web server and WSGI: what an application gets, and what no client can make it pay."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Iterator

import pytest

from tests.project.web import Connection, WebServer, timed
from tests.waiting import wait_for

CHUNKED = {"Transfer_Encoding": "chunked"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """One that is used by all tests: what they leave behind must not disturb the next."""
    home = tmp_path_factory.mktemp("web")
    started = WebServer(home, application="tests.project.echo:application", env={}).wait_ready()
    yield started
    assert started.stop() == 0, started.log.read_text()


def test_the_environ_is_as_pep_3333_wants_it(server: WebServer) -> None:
    words = {"Content_Type": "text/plain", "X_A": "1", "Cookie": "a=1"}
    answer, _ = timed(server, "POST", "/caf%C3%A9%20%2F?q=%00&p=a+b", b"\x00\xff", **words)
    told = answer.json()
    assert told["PATH_INFO"].encode("latin-1").decode() == "/café /"
    assert (told["QUERY_STRING"], told["REQUEST_METHOD"], told["SERVER_PROTOCOL"]) == (
        "q=%00&p=a+b",
        "POST",
        "HTTP/1.1",
    )
    assert (told["REMOTE_ADDR"], told["SERVER_NAME"], told["SERVER_PORT"]) == ("127.0.0.1",) * 2 + (str(server.port),)
    assert (told["CONTENT_TYPE"], told["CONTENT_LENGTH"], told["body"]) == ("text/plain", "2", "\x00\xff")
    assert (told["wsgi.url_scheme"], told["HTTP_HOST"], told["HTTP_X_A"]) == ("http", "localhost", "1")
    assert "HTTP_CONTENT_LENGTH" not in told


@pytest.mark.parametrize("path", ["/%ff", "/%c3", "/a%00b", "/%2e%2e/x", "//double", "/%25ff", "/" + "a" * 8000])
def test_no_path_is_an_error_of_the_server(server: WebServer, path: str) -> None:
    assert timed(server, "GET", path)[0].status == 200


def test_a_header_that_came_twice_is_joined_and_one_with_an_underscore_is_left_out(server: WebServer) -> None:
    head = ["GET / HTTP/1.1", "Host: localhost", "X-A: 1", "x-a: 2", "Cookie: a=1", "Cookie: b=2"]
    head += ["X_Forwarded_Proto: https", "X-Forwarded_For: 1.2.3.4", "Content_Length: 5", "Remote_Addr: 1.2.3.4"]
    told = Connection(server).send("\r\n".join([*head, "", ""])).answer().json()
    assert (told["HTTP_X_A"], told["HTTP_COOKIE"]) == ("1,2", "a=1; b=2")
    assert not [name for name in told if "FORWARDED" in name or name == "HTTP_REMOTE_ADDR"]
    assert told["REMOTE_ADDR"] == "127.0.0.1"


def test_a_connection_is_kept_for_the_next_request_and_requests_may_be_pipelined(server: WebServer) -> None:
    connection = Connection(server)
    for number in range(3):
        connection.head("POST", f"/{number}", length=3).send("abc")
    assert [connection.answer().json()["PATH_INFO"] for _ in range(3)] == ["/0", "/1", "/2"]
    connection.head("POST", "/api/long", length=5000).send("a" * 5000)
    assert len(connection.answer().json()["body"]) == 5000
    assert connection.head("GET", "/", Connection="close").answer().status == 200
    assert connection.ended()


def test_http_1_0_gets_an_answer_and_is_closed(server: WebServer) -> None:
    connection = Connection(server).send("GET /old HTTP/1.0\r\n\r\n")
    assert connection.answer().json()["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert connection.ended()


def test_head_has_the_headers_and_no_body(server: WebServer) -> None:
    connection = Connection(server).head("HEAD", "/")
    answer = connection.answer(method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["content-length"]) > 100
    assert connection.head("GET", "/").answer().status == 200


def test_an_answer_in_pieces_arrives_whole_with_each_of_its_cookies(server: WebServer) -> None:
    answer, _ = timed(server, "GET", "/big?bytes=3000000")
    assert (len(answer.body), answer.headers["set-cookie"]) == (3_000_000, "a=1, b=2")


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 70_000, 600_000])
def test_a_body_in_chunks_arrives_whole(server: WebServer, size: int) -> None:
    connection = Connection(server).head("POST", "/api/echo", CHUNKED)
    for begin in range(0, size, 7919):
        piece = b"y" * min(7919, size - begin)
        connection.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    assert connection.send("0\r\n\r\n").answer().json()["body"] == "y" * size
    assert connection.head("GET", "/").answer().status == 200


def test_expect_100_continue_is_told_to_go_on_only_if_the_body_is_wanted(server: WebServer) -> None:
    wanted = Connection(server).head("POST", "/api/echo", length=5000, Expect="100-continue")
    assert wanted.interim() == 100
    assert wanted.send("a" * 5000).answer().status == 200
    refused = Connection(server).head("POST", "/api/unread", length=5000, Expect="100-continue")
    assert (refused.interim(), refused.ended()) == (401, False)


def test_a_failure_of_the_application_is_500_and_ends_no_thread(server: WebServer) -> None:
    for _ in range(10):
        answer, _ = timed(server, "GET", "/fail")
        assert (answer.status, answer.headers["x-guard"]) == (500, "1")
    assert timed(server, "GET", "/")[0].status == 200
    assert "as the test asked" in server.log.read_text()


def test_a_header_of_an_answer_that_is_not_ascii_does_not_end_the_server(server: WebServer) -> None:
    answer, _ = timed(server, "GET", "/unread")
    assert (answer.status, answer.headers["x-latin"]) == (401, "caf?")


# Method, path, headers, the length that is said, and what is sent.
Half = tuple[str, str, dict[str, str], int, str]
HALF: list[Half] = [
    ("GET", "/health", {}, 1000, ""),
    ("POST", "/page", {}, 1000, "a" * 999),
    ("POST", "/page", {"Cookie": "session=1"}, 50_000, "a" * 2000),
    ("POST", "/api/echo", {}, 900, "a"),
    ("PUT", "/api/echo", {"Expect": "100-continue"}, 900, ""),
]


@pytest.mark.parametrize("half_sent", HALF)
def test_half_a_request_is_answered_408_and_holds_no_thread(server: WebServer, half_sent: Half) -> None:
    method, path, headers, length, sent = half_sent
    half = [Connection(server).head(method, path, headers, length=length).send(sent) for _ in range(40)]
    answer, _ = timed(server, "GET", "/")
    assert answer.status == 200
    for connection in half:
        answer = connection.answer()
        assert (answer.status, answer.closed, answer.headers["x-guard"]) == (408, True, "1")
        assert connection.ended()


@pytest.mark.parametrize("headers", [CHUNKED, {}])
def test_a_long_body_that_stops_is_told_to_the_application_that_reads_it(
    server: WebServer, headers: dict[str, str]
) -> None:
    stopped = Connection(server).head("POST", "/api/echo", headers, length=None if headers else 5000)
    answer = stopped.send("3e8\r\n" + "a" * 1000 + "\r\n").answer()
    assert (answer.json()["error"], answer.closed) == ("TooSlow", True)
    assert "50,000 bytes a second" in answer.json()["detail"]
    assert stopped.ended()


def test_single_bytes_do_not_keep_a_body_alive(server: WebServer) -> None:
    dripping = [
        Connection(server).head("POST", "/page", length=50_000, Cookie="session=1"),
        Connection(server).head("POST", "/api/echo", length=50_000),
        Connection(server).head("POST", "/page", length=900),
    ]
    stop = threading.Event()

    def drip() -> None:
        while not stop.wait(0.1):
            for connection in dripping:
                try:
                    connection.send("a")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        assert [connection.answer().status for connection in dripping] == [408, 418, 408]
    finally:
        stop.set()
        thread.join()


BROKEN = ["2\r\nab\r\nzz\r\n", "ffffffffffffffffff\r\n", "-1\r\n", "2\r\nabc\r\n"]


@pytest.mark.parametrize("chunks", BROKEN)
def test_chunks_that_are_none_are_not_taken_for_the_end(server: WebServer, chunks: str) -> None:
    answer = Connection(server).head("POST", "/api/echo", CHUNKED).send(chunks).answer()
    assert answer.status in (400, 418)
    assert answer.status == 400 or answer.json()["error"] == "BrokenOff"


FRAMING = [
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5, 6\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 99999999999999999999999\r\n",
    "Content-Length: 0x5\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding : chunked\r\n",
]


@pytest.mark.parametrize("framing", FRAMING)
def test_a_length_that_can_be_read_in_two_ways_is_refused(server: WebServer, framing: str) -> None:
    connection = Connection(server).send(f"POST /api/echo HTTP/1.1\r\nHost: localhost\r\n{framing}\r\nabcde")
    assert connection.answer().status == 400
    assert connection.ended()


def test_a_length_beside_chunks_does_not_hide_a_second_request(server: WebServer) -> None:
    head = "POST /api/unread HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection = Connection(server).send(head + "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert connection.answer().status in (400, 401)
    assert connection.ended()


def test_clients_that_go_away_in_the_middle_leave_nothing_behind(server: WebServer) -> None:
    for _ in range(60):
        Connection(server).head("POST", "/api/echo", length=50_000).send("a" * 20_000).close()
        Connection(server).head("POST", "/api/echo", CHUNKED).send("5\r\nab").close()
        Connection(server).head("POST", "/page", length=900).send("a").close()
        Connection(server).head("POST", "/page", length=90_000, Cookie="session=1").send("a" * 9000).close()
        Connection(server).head("GET", "/big?bytes=1000000").close()

    def whole() -> bool:
        # Both kinds of threads are free again, and so is the room for long forms.
        form = timed(server, "POST", "/page", b"a" * 99_000, Cookie="session=1")[0].status
        return (timed(server, "POST", "/api/echo", b"a" * 5000)[0].status, form) == (200, 200)

    wait_for(whole, what="the threads")


def test_a_page_takes_long_bodies_only_with_a_session_and_up_to_a_size(server: WebServer) -> None:
    assert timed(server, "POST", "/page", b"a" * 1000)[0].status == 200
    strange, _ = timed(server, "POST", "/page", b"a" * 1001)
    assert (strange.status, b"1,000 bytes" in strange.body) == (413, True)
    assert timed(server, "POST", "/page", b"a" * 100_000, Cookie="x=1; session=2")[0].status == 200
    assert Connection(server).head("POST", "/page", length=100_001, Cookie="session=1").answer().status == 413


def test_long_forms_together_have_a_bound_and_give_back_their_room(server: WebServer) -> None:
    half = [Connection(server).head("POST", "/page", length=100_000, Cookie="session=1") for _ in range(2)]
    for connection in half:
        connection.send("a" * 60_000)
    more, _ = timed(server, "POST", "/page", b"a" * 90_000, Cookie="session=1")
    assert (more.status, more.headers["retry-after"]) == (503, "1")
    assert timed(server, "POST", "/page", b"a" * 1000)[0].status == 200
    assert [connection.answer().status for connection in half] == [408, 408]
    assert timed(server, "POST", "/page", b"a" * 90_000, Cookie="session=1")[0].status == 200


def test_busy_threads_and_a_full_queue_are_503_while_health_and_streams_answer(server: WebServer) -> None:
    asked = [Connection(server).head("GET", "/wait") for _ in range(3 + 4 + 5)]
    try:
        refused = wait_for(lambda: found if len(found := _readable(asked)) == 5 else [], what="five refusals")
        for connection in refused:
            answer = connection.answer()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert b"queue before them is full" in answer.body
        assert timed(server, "GET", "/health")[0].status == 200
        assert timed(server, "POST", "/api/echo", b"a" * 5000)[0].status == 200
    finally:
        timed(server, "GET", "/health?open")
    assert [connection.answer().status for connection in asked if connection not in refused] == [200] * 7
    threads = timed(server, "GET", "/")[0].json()["threads"]
    assert (threads.count("web"), threads.count("web-health"), threads.count("web-stream") <= 2) == (3, 1, True)


def _readable(connections: list[Connection]) -> list[Connection]:
    readable, _, _ = select.select([connection.socket for connection in connections], [], [], 0)
    return [connection for connection in connections if connection.socket in readable]


def test_clients_that_do_not_receive_their_answer_are_closed_and_others_are_not(server: WebServer) -> None:
    slow = [Connection(server, receive_bytes=4096).head("GET", "/big?bytes=8000000") for _ in range(4)]
    wait_for(lambda: len(_readable(slow)) == 4, what="the answers to the slow ones")
    honest = Connection(server).head("GET", "/big?bytes=30000000")
    idle = Connection(server).head("GET", "/")
    received = 0
    # For more than the pause that is allowed, at far more than the minimum rate.
    for _ in range(40):
        piece = honest.socket.recv(100_000)
        assert piece, "the honest one was closed"
        received += len(piece)
        time.sleep(0.1)
    wait_for(lambda: "slow_readers_closed" in server.log.read_text(), what="the slow ones to be closed")
    assert all(_received(connection) < 8_000_000 for connection in slow)
    assert received + _received(honest) > 30_000_000
    assert idle.answer().status == 200
    assert idle.head("GET", "/").answer().status == 200


def _received(connection: Connection) -> int:
    """How many bytes come before the connection ends, or none come for a second."""
    count = 0
    connection.socket.settimeout(1)
    try:
        while piece := connection.socket.recv(1_000_000):
            count += len(piece)
    except OSError:
        pass
    return count


def test_refusals_do_not_fill_the_log(server: WebServer) -> None:
    for _ in range(100):
        timed(server, "POST", "/page", b"a" * 2000)
    assert server.log.read_text().count("requests_refused") < 30


def test_sigterm_ends_what_is_under_way(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("stopped")
    server = WebServer(home, application="tests.project.echo:application", env={}).wait_ready()
    slow = Connection(server).head("POST", "/api/echo", length=5000).send("a" * 2000)
    half = Connection(server).head("POST", "/page", length=900).send("a")
    idle = Connection(server)
    assert timed(server, "GET", "/health")[0].status == 200
    server.process.terminate()
    slow.send("a" * 3000)
    assert slow.answer().status == 200
    assert half.answer().status == 408
    assert idle.ended()
    assert server.stop() == 0, server.log.read_text()
