"""A storm: many clients at once in rounds, other programs beside them, and a pause after each round in which everything must agree."""

import random
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import trio

from tests.storm.client import Client
from tests.storm.house import BOXES, House, Outsider, held, open_files, open_house
from tests.storm.model import StormError

__all__ = ["Plan", "storm"]


@dataclass(frozen=True)
class Plan:
    """``rounds`` of ``commands`` for each of ``sessions``; ``threads`` as in production, or all in one."""

    mail_format: Literal["maildir", "mbox"]
    seed: int
    sessions: int = 20
    rounds: int = 5
    commands: int = 30
    threads: bool = False
    outside: bool = True


async def _round(clients: list[Client], plan: Plan, outsider: Outsider, house: House, rnd: random.Random) -> None:
    running = len(clients)

    async def play(client: Client) -> None:
        nonlocal running
        try:
            for _ in range(plan.commands):
                await client.act()
        finally:
            running -= 1

    async def disturb() -> None:
        while running:
            if rnd.random() < 0.4:
                outsider.deliver(house.stores)
            elif plan.outside:
                outsider.act()
            for _ in range(rnd.randint(1, 40)):
                await trio.lowlevel.checkpoint()
            await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(_reporting, client, play(client))
        nursery.start_soon(disturb)


async def _reporting(client: Client, work: Coroutine[Any, Any, object]) -> None:
    """Add what was said last to a failure."""
    try:
        await work
    except Exception as error:
        raise StormError(f"client {client.number}: {type(error).__name__} {error}\n{client.words}") from error


async def _pause(clients: list[Client], house: House) -> None:
    """Wait until everything is told, and compare."""
    for _ in range(2):  # the first look of each may still bring news from outside
        for client in clients:
            await _reporting(client, client.ask(b"NOOP"))
        await trio.sleep(1.1)
    for client in clients:
        await _reporting(client, client.check())
    if house.failures:
        raise StormError("\n".join(house.failures))


async def _end(clients: list[Client], house: House) -> None:
    for client in clients:
        await client.stop()
    with trio.move_on_after(10):
        await house.wait_empty()
    if house.sessions:
        raise StormError(f"{house.sessions} sessions outlive their clients")


async def storm(directory: Path, plan: Plan) -> Counter[str]:
    """Play one storm; return what was done. Raises StormError, in an exception group, for whatever is wrong."""
    rnd = random.Random(plan.seed)
    counts: Counter[str] = Counter()
    before = held()
    outsider = Outsider(directory / "mail" / "ana", plan.mail_format, random.Random(rnd.random()), counts)
    async with open_house(directory, plan.mail_format, threads=plan.threads) as house:
        clients = [Client(number, random.Random(rnd.random()), house.connect, BOXES, counts) for number in range(plan.sessions)]
        for client in clients:
            await _reporting(client, client.start())
        try:
            for _ in range(plan.rounds):
                await _round(clients, plan, outsider, house, rnd)
                await _pause(clients, house)
        except Exception as error:
            raise StormError("\n".join(["the server:", *house.failures])) from error
        await _end(clients, house)
    if outsider.leftovers():
        raise StormError(f"left over: {outsider.leftovers()[:5]}")
    if open_files(directory):
        raise StormError(f"left open: {open_files(directory)}")
    if held() - before:
        raise StormError(f"still held: {held() - before}")
    return counts
