"""boofuzz on `kv`, as fast as it goes: put and get, with answers read after each; prints how many cases it has played."""

import json
import os
import sys
import time

from boofuzz import Block, Byte, Bytes, DWord, Request, Session, Size, String, Target, TCPSocketConnection, Word  # noqa: F401

port, seconds = int(sys.argv[1]), float(sys.argv[2])


def message(name, operation, *rest):
    key = Block("key_block", children=(String("key", "colour"),))
    body = (Byte("op", operation, fuzzable=False), DWord("id", 7, endian=">"), Size("key_len", "key_block", 2, endian=">"), key)
    return Request(name, children=(Size("len", "body", 4, endian=">"), Block("body", children=(*body, *rest))))


put = message("put", 2, Bytes("data", b"blue"))
get = message("get", 1)

played = messages = 0
began = time.monotonic()


def count(target, fuzz_data_logger, session, *args, **kwargs):
    global played
    played += 1
    if time.monotonic() - began > seconds:
        told()


def told():
    elapsed = time.monotonic() - began
    # A case is a connection with a put, and for those that spoil the get a get as well.
    print(json.dumps({"cases": played, "messages": messages, "seconds": elapsed}), flush=True)
    os._exit(0)


class Counted(TCPSocketConnection):
    def send(self, data):
        global messages
        messages += 1
        return super().send(data)


session = Session(
    target=Target(connection=Counted("127.0.0.1", port, send_timeout=1, recv_timeout=0.01)),
    fuzz_loggers=[],
    post_test_case_callbacks=[count],
    sleep_time=0,
    restart_sleep_time=0,
    web_port=None,
    keep_web_open=False,
    receive_data_after_each_request=True,
    receive_data_after_fuzz=False,
)
session.connect(put)
session.connect(put, get)
while True:
    session.fuzz()
