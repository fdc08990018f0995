"""Every name of Celery, kombu, redis-py and uvicorn that is overridden, replaced or private is listed, and is there.

Nobody promises that these names stay. A new version that renames one fails here, by its name, and not in a worker.

Tests: CONTRIBUTING.md
"""

from __future__ import annotations

import pytest

from tests.support.foreign_scan import Found, form, scan, value_of

#: names that the libraries keep for themselves, and the parameters of functions, or the types of other things
INNER: dict[str, str] = {
    "celery.app.amqp:AMQP.Consumer": "type",
    "celery.app.amqp:AMQP.send_task_message": "cached_property",
    "celery.app.trace:ExceptionInfo": "type",
    "celery.apps.worker:safe_say": "msg, f",
    "celery.backends.redis:RedisBackend.ConnectionPool": "property",
    "celery.backends.redis:RedisBackend._chord_cleanup_script": "cached_property",
    "celery.backends.redis:RedisBackend._chord_part_return_script": "cached_property",
    "celery.backends.redis:RedisBackend._get_client": "self",
    "celery.backends.redis:RedisBackend._get_result_meta": (
        "self, result, state, traceback, request, format_date, encode"
    ),
    "celery.backends.redis:RedisBackend.add_pending_result": "self, result, weak, start_drainer",
    "celery.backends.redis:RedisBackend.chord_error_from_stack": "self, callback, exc",
    "celery.backends.redis:RedisBackend.mark_as_failure": (
        "self, task_id, exc, traceback, request, store_result, call_errbacks, state"
    ),
    "celery.backends.redis:RedisBackend.on_chord_part_return": "self, request, state, result, propagate, **kwargs",
    "celery.backends.redis:RedisBackend.on_task_call": "self, producer, task_id",
    "celery.backends.redis:RedisBackend.store_result": "self, task_id, result, state, traceback, request, **kwargs",
    "celery.concurrency.thread:TaskPool.on_apply": "self, target, args, kwargs, callback, accept_callback, **_",
    "celery.concurrency:ALIASES": "dict",
    "celery.loaders.base:BaseLoader.override_backends": "dict",
    "celery.worker.control:Panel.data": "dict",
    "celery.worker.request:Request._argsrepr": "member_descriptor",
    "celery.worker.request:Request._kwargsrepr": "member_descriptor",
    "celery.worker.request:Request._request_dict": "member_descriptor",
    "celery.worker.request:Request.info": "self, safe",
    "celery.worker.request:Request.on_failure": "self, exc_info, send_failed_event, return_ok",
    "celery.worker.request:Request.revoked": "self",
    "celery.worker.request:Request.send_event": "self, type, **fields",
    "celery:Task.__trace__": "NoneType",
    "flower.app:Flower.start_http_server": "self",
    "kombu.message:Message._decoded_cache": "member_descriptor",
    "kombu.transport.redis:Channel._get_message_priority": "self, message, reverse",
    "kombu.transport.redis:Channel._put": "self, queue, message, **kwargs",
    "kombu.transport.redis:Channel.encode_body": "self, body, encoding",
    "kombu.transport:TRANSPORT_ALIASES": "dict",
    "redis.connection:DefaultParser.EXCEPTION_CLASSES": "dict",
    "redis:Redis.delete": "self, *names",
    "tornado.log:LogFormatter": "type",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.on_response_complete": "self",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.send_400_response": "self, msg",
    "uvicorn:Server.startup": "self, sockets",
}

#: names that the libraries offer for this: bootsteps, options of tasks and transports, arguments of a dispatcher, and
#: the callbacks of asyncio's and httptools' protocols
OFFERED: dict[str, str] = {
    "celery.bootsteps:StartStopStep.name": "str",
    "celery.bootsteps:StartStopStep.requires": "tuple",
    "celery.bootsteps:StartStopStep.start": "self, parent",
    "celery.bootsteps:StartStopStep.stop": "self, parent",
    "celery.bootsteps:StartStopStep.terminate": "self, parent",
    "celery.events.dispatcher:EventDispatcher.buffer_limit": "str",
    "celery.events.dispatcher:EventDispatcher.on_send_buffered": "str",
    "celery:Task.Request": "str",
    "celery:Task.resultrepr_maxsize": "int",
    "celery:Task.throws": "tuple",
    "celery:Task.typing": "NoneType",
    "kombu.transport.redis:Transport.Channel": "type",
    "kombu.transport.redis:Transport.connection_errors": "tuple",
    "uvicorn.protocols.http.h11_impl:H11Protocol.connection_lost": "self, exc",
    "uvicorn.protocols.http.h11_impl:H11Protocol.connection_made": "self, transport",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.connection_lost": "self, exc",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.connection_made": "self, transport",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.data_received": "self, data",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.on_body": "self, body",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.on_headers_complete": "self",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.on_message_begin": "self",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.on_message_complete": "self",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.pause_writing": "self",
    "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.resume_writing": "self",
}

#: those that the scan of the source cannot tell: what they belong to comes from a function, or as an argument
UNSEEN = {
    "celery.events.dispatcher:EventDispatcher.buffer_limit",
    "celery.events.dispatcher:EventDispatcher.on_send_buffered",
    "celery.loaders.base:BaseLoader.override_backends",
    "flower.app:Flower.start_http_server",
    "kombu.message:Message._decoded_cache",
}
#: the scan sees that they are private, and not whose they are
OF_SOMETHING = {"._decoded_cache"}
#: most of the first kind: each new one wants a reason, and one less
MOST = 40


@pytest.mark.parametrize("name", sorted({**INNER, **OFFERED}))
def test_a_name_is_there_with_the_parameters_that_it_had(name: str) -> None:
    assert form(name) == {**INNER, **OFFERED}[name]


def test_every_name_that_the_source_uses_so_is_listed() -> None:
    listed = INNER.keys() | OFFERED.keys() | OF_SOMETHING
    assert [found for found in scan() if found.name not in listed] == []


def test_no_name_is_listed_that_the_source_does_not_use_so() -> None:
    used = {found.name for found in scan()}
    assert sorted((INNER.keys() | OFFERED.keys()) - used) == sorted(UNSEEN)


def test_the_names_that_nobody_promises_are_few() -> None:
    assert len(INNER) <= MOST


def test_a_name_that_is_gone_is_told() -> None:
    with pytest.raises(LookupError):
        value_of("celery.backends.redis:RedisBackend._no_such_name")


def test_the_scan_sees_overridden_methods_private_attributes_and_replaced_objects() -> None:
    found = {one.name: one for one in scan()}
    expected = ["kombu.transport.redis:Channel._put", "celery.worker.request:Request._argsrepr"]
    expected += ["celery.app.trace:ExceptionInfo", "kombu.transport:TRANSPORT_ALIASES", "tornado.log:LogFormatter"]
    assert [name for name in expected if name not in found] == []
    assert isinstance(found[expected[0]], Found)
