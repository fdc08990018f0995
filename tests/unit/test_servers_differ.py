"""Processes have the same servers if these say so of themselves, whatever their names.

Tests: store.watch.servers, ops.doctor.queues, status.troubles
"""

from __future__ import annotations

from typing import Any

from ops.doctor import queues
from status.troubles import find_troubles
from store.watch.servers import Server, differing
from tests.unit.test_doctor_words import process
from tests.unit.test_troubles import evidence, keys, numbers

HERE = {"broker": Server("redis://127.0.0.1:6379/0", "a"), "results": Server("redis://127.0.0.1:6379/0", "a")}
SAME_BY_ANOTHER_NAME = {role: Server("redis://redis:6379/0", "a") for role in HERE}
NOT_ASKED = {role: Server("redis://other:6379/0") for role in HERE}
ELSEWHERE = {**HERE, "broker": Server("amqp://rabbit:5672//", "b")}


def test_one_server_of_two_names_is_the_same() -> None:
    assert list(differing({"x": HERE, "y": SAME_BY_ANOTHER_NAME, "z": NOT_ASKED})) == []


def test_who_has_another_one_is_named() -> None:
    ((role, by_place),) = differing({"x": HERE, "y": ELSEWHERE, "z": HERE})
    assert role == "broker"
    assert by_place == {"redis://127.0.0.1:6379/0": ["x", "z"], "amqp://rabbit:5672//": ["y"]}


def test_two_servers_of_one_name_are_told_apart() -> None:
    other = {role: Server(server.place, "b") for role, server in HERE.items()}
    for _, by_place in differing({"x": HERE, "y": other}):
        assert list(by_place.values()) == [["x"], ["y"]]


def test_the_doctor_believes_no_worker_of_another_broker() -> None:
    consumes = {"queues": ["wxcheck.text", "wxcheck.media", "wxcheck.push"]}
    processes = [process("there@host", servers=ELSEWHERE, **consumes)]
    found = {finding.subject: finding for finding in queues.told(processes, {}, {}, HERE)}
    assert found["wxcheck.text"].level == "bad"
    said = found["servers"].said
    assert "redis://127.0.0.1:6379/0: wxcheck doctor; amqp://rabbit:5672//: there@host" in said
    found = {finding.subject: finding for finding in queues.told(processes, {}, {}, ELSEWHERE)}
    assert found["wxcheck.text"].level == "ok"
    assert "servers" not in found


def test_the_board_names_the_difference_and_an_old_process_is_none() -> None:
    told = numbers()
    having: list[dict[str, Any]] = [
        {role: server._asdict() for role, server in servers.items()} for servers in (HERE, ELSEWHERE)
    ]
    for one, servers in zip(told["processes"], having, strict=True):
        one["servers"] = servers
    (found,) = find_troubles(told, evidence())
    assert keys([found]) == [("servers_differ", "bad")]
    assert "amqp://rabbit:5672//: h:1" in found["said"]["en"]
    told["processes"][1]["age_seconds"] = 50.0
    assert "servers_differ" not in dict(keys(find_troubles(told, evidence())))
