"""A server of lines, sound or with one bug: `lines.py PORT [BUG]`.

It is started again and again, so it does without whatever takes its time to be imported.
"""

import _socket
import select
import sys
import time

BUG = sys.argv[2] if len(sys.argv) > 2 else ""
server = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen(256)
server.setblocking(False)
poll = select.poll()
poll.register(server.fileno(), select.POLLIN)
clients, buffers, store, before, writers, shared = {}, {}, {}, {}, {}, bytearray()
latest, kept = None, []


def answer(line, client, ready):
    words = line.split()
    if words[:1] == [b"put"] and len(words) == 3:
        before[words[1]], writers[words[1]] = store.get(words[1], words[2]), client
        store[words[1]] = words[2]
        return b"ok\n"
    if words[:1] == [b"get"] and len(words) == 2:
        if BUG == "slow":
            time.sleep(0.2)
        # What others have written is seen only when it is no longer the last; or that is so where several ask at once.
        if (BUG == "stale" and writers.get(words[1]) is not client) or (BUG == "hurried" and ready > 1):
            return before.get(words[1], b"none") + b"\n"
        return store.get(words[1], b"none") + b"\n"
    if words[:1] == [b"add"]:
        store[b"n"] = store.get(b"n", 0) + 1
        return b"added\n" if BUG != "count" else b"%d\n" % store[b"n"]
    if words[:1] == [b"bye"]:
        return None
    return b"err\n"


def drop(fd):
    poll.unregister(fd)
    del buffers[fd]
    clients.pop(fd).close()


while True:
    ready = poll.poll()
    for fd, _ in ready:
        if fd == server.fileno():
            accepted, _ = server._accept()
            client = _socket.socket(fileno=accepted)
            client.setblocking(False)
            poll.register(accepted, select.POLLIN)
            clients[accepted], buffers[accepted] = client, bytearray()
            latest = client
            if BUG == "leak":
                kept.append(_socket.dup(accepted))
            continue
        if fd not in clients:
            continue
        client = clients[fd]
        try:
            data = client.recv(4096)
        except OSError:
            data = b""
        if not data:
            if BUG == "prefix" and buffers[fd]:
                sys.exit(3)
            drop(fd)
            continue
        buffer = shared if BUG == "shared" else buffers[fd]
        if BUG == "cut" and len(buffer) == 7:
            buffer.clear()
        buffer += data
        if BUG == "pipeline" and buffer.count(b"\n") > 1:
            del buffer[: buffer.index(b"\n") + 1]
        if BUG == "half":
            try:
                # Takes its time, and looks whether anybody still waits.
                if select.select([fd], [], [], 0.05)[0] and client.recv(1, _socket.MSG_PEEK) == b"":
                    drop(fd)
                    continue
            except OSError:
                pass
        if BUG == "long" and len(buffer) > 2000:
            sys.exit(3)
        while b"\n" in buffer:
            end = buffer.index(b"\n")
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            reply = answer(line, client, len(ready))
            try:
                if reply is None:
                    client.sendall(b"bye\n")
                    # With the bug, only who says it in one piece is let go.
                    if BUG != "stays" or data == b"bye\n":
                        drop(fd)
                        break
                else:
                    (latest if BUG == "latest" else client).sendall(reply)
            except OSError:
                pass
