"""Where a webhook may go: the addresses of the open internet, checked inside the connection."""

import asyncio
import socket
import ssl
from collections import Counter
from threading import Event
from typing import Any

import pytest

from app.webhooks.addresses import fault_of, is_public
from app.webhooks.sending import Bounds, Sender
from tests.conftest import Service
from tests.receivers import deliveries, delivering, eventually, receiving, send_test, told
from tests.world import System, refused

OPEN = [
    "8.8.8.8",
    "1.1.1.1",
    "193.140.80.208",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:800::200e",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
]
CLOSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:127.0.0.1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "2606:4700::1%eth0",
    "",
    "localhost",
    "2130706433",
    "0x7f.1",
    "127.1",
    "[::1]",
]


@pytest.mark.parametrize("address", OPEN)
def test_an_address_of_the_open_internet_is_one(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", CLOSED)
def test_an_address_that_is_not_of_the_open_internet_is_refused_in_every_form(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://erp.redcrescent.example/",
        "https://127.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.1.2.3:8443/",
        "https://erp.redcrescent.example:22/",
        "https://erp.redcrescent.example:80/",
        "https://erp.redcrescent.example:0/",
    ],
)
def test_a_url_that_cannot_be_reached_rightly_is_refused_at_once(url: str) -> None:
    assert fault_of(url, allow_private=False) is not None


@pytest.mark.parametrize(
    "url",
    [
        "https://erp.redcrescent.example",
        "https://erp.redcrescent.example/komek?system=1",
        "https://erp.redcrescent.example:8443/",
        "https://xn--kmek-5qa.example/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]:8443/",
    ],
)
def test_a_url_of_the_open_internet_is_taken(url: str) -> None:
    assert fault_of(url, allow_private=False) is None


class Names:
    """A name server of the test: each look-up takes the next answer, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise OSError("no such name")
        return answer


NO_TARGET = "no connection: the name stands for no address of the open internet"


@pytest.mark.parametrize(
    "answers",
    [
        [["127.0.0.1"]],
        [["::ffff:127.0.0.1"]],
        [["8.8.8.8", "127.0.0.1"]],
        [["127.0.0.1", "8.8.8.8"]],
        [["10.0.0.7"]],
        [[]],
    ],
)
async def test_a_name_of_the_house_is_refused_as_one_that_nobody_knows(
    answers: list[list[str]],
) -> None:
    async with receiving() as receiver:
        sender = Sender(Bounds(timeout=2, refusing=0.1), Names(*answers))
        outcome = await sender.post(f"http://receiver.example:{receiver.port}/", [], b"{}")
        await sender.close()
        assert (outcome.error, outcome.status, outcome.body) == (NO_TARGET, None, "")
        assert outcome.milliseconds >= 99, "a name that is found at once is not refused at once"
        assert receiver.connections == 0


@pytest.mark.parametrize("host", ["a..example", "x" * 64 + ".example", "-.example"])
async def test_a_name_that_is_none_is_a_failure_like_any_other(host: str) -> None:
    sender = Sender(Bounds(timeout=5, refusing=0))
    outcome = await sender.post(f"https://{host}/", [], b"{}")
    await sender.close()
    assert outcome.error == NO_TARGET


async def test_names_whose_servers_never_answer_cost_their_own_endpoints_time_out_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    never = Event()
    asked: Counter[str] = Counter()
    system = socket.getaddrinfo

    def look_up(host: str, *given: Any, **more: Any) -> Any:
        asked[host] += 1
        if host.endswith(".silent.example"):
            never.wait(60)
        return system("127.0.0.1", *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with receiving() as receiver:
        sender = Sender(Bounds(timeout=0.5, allow_private=True))
        silent = [f"http://{n}.silent.example:{receiver.port}/" for n in range(60)]
        try:
            for _ in range(3):
                outcomes = await asyncio.gather(*(sender.post(u, [], b"{}") for u in silent))
                assert {o.error for o in outcomes} == {"no complete answer within 0.5 s"}
            quick = await sender.post(f"http://erp.example:{receiver.port}/", [], b"{}")
            assert quick.delivered
            # Tried again, it waits for the look-up that is still under way.
            assert set(asked.values()) == {1}
        finally:
            never.set()
            await sender.close()


async def test_a_name_that_resolves_to_a_private_address_the_second_time_is_refused_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Loopback plays the public address here: nothing else can be reached in a test.
    monkeypatch.setattr("app.webhooks.sending.is_public", lambda address: address == "127.0.0.1")
    async with receiving() as public, receiving() as private:
        names = Names(["127.0.0.1"], ["127.0.0.2"])
        sender = Sender(Bounds(timeout=2), names)
        url = f"http://receiver.example:{public.port}/"
        assert (await sender.post(url, [], b"{}")).delivered
        # The connection that is open stays at the address that was checked.
        assert (await sender.post(url, [], b"{}")).delivered
        assert names.asked == ["receiver.example"]
        assert public.connections == 1
        await public.die()
        second = await sender.post(url, [], b"{}")
        if second.error != NO_TARGET:
            second = await sender.post(url, [], b"{}")
        await sender.close()
        assert second.error == NO_TARGET
        assert names.asked == ["receiver.example"] * 2
        assert private.connections == 0


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    # The name does not exist: whoever resolved it once more would find nothing.
    async with receiving() as receiver:
        sender = Sender(Bounds(timeout=2, allow_private=True), Names(["127.0.0.1"]))
        outcome = await sender.post(f"http://receiver.invalid:{receiver.port}/", [], b"{}")
        await sender.close()
        assert outcome.delivered
        assert receiver.received[0].headers["host"] == f"receiver.invalid:{receiver.port}"


async def test_tls_asks_for_the_name_and_not_for_the_address() -> None:
    hello = asyncio.Event()
    seen: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(4096))
        hello.set()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = Sender(Bounds(timeout=2, allow_private=True), Names(["127.0.0.1"]))
    outcome = await sender.post(f"https://receiver.example:{port}/", [], b"{}")
    await sender.close()
    server.close()
    await server.wait_closed()
    assert hello.is_set()
    assert seen[0][0] == 0x16
    assert b"receiver.example" in seen[0]
    assert outcome.error is not None


def test_certificates_are_verified() -> None:
    from app.webhooks.sending import _tls  # noqa: PLC0415

    assert _tls().verify_mode is ssl.CERT_REQUIRED
    assert _tls().check_hostname


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        sender = Sender(Bounds(timeout=2, allow_private=True))
        assert (await sender.post(receiver.url, [], b"{}")).delivered
        await sender.close()
        assert proxy.connections == 0


async def test_a_service_that_is_not_for_tests_refuses_loopback(
    service: Service, aze: System
) -> None:
    async with (
        receiving() as receiver,
        told(aze, receiver, types=["webhook.test"]) as endpoint,
        delivering(service, allow_private=False),
    ):
        await send_test(aze, endpoint)
        found = await eventually(lambda: deliveries(aze, endpoint, status="waiting"))
        assert found[0]["attempts"][0]["error"] == NO_TARGET
        assert receiver.connections == 0


async def test_user_names_in_urls_are_refused_even_on_loopback(aze: System) -> None:
    body = {"url": "http://user@127.0.0.1:9/"}
    refused(await aze.post("/v1/webhooks", body), 422, "invalid_input")
