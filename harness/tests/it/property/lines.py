"""A server of lines, sound or with one bug: `lines.py PORT [BUG]`."""

import select
import selectors
import socket
import sys

BUG = sys.argv[2] if len(sys.argv) > 2 else ""
selector = selectors.DefaultSelector()
server = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=256)
server.setblocking(False)
selector.register(server, selectors.EVENT_READ)
buffers, store, shared = {}, {}, bytearray()
latest, kept = None, []
asked = 0


def answer(line):
    global asked
    asked += 1
    words = line.split()
    if words[:1] == [b"put"] and len(words) == 3:
        store[words[1]] = words[2]
        return b"ok\n"
    if words[:1] == [b"get"] and len(words) == 2:
        return store.get(words[1], b"none") + b"\n"
    if words[:1] == [b"add"]:
        store[b"n"] = store.get(b"n", 0) + 1
        return b"added\n" if BUG != "count" else b"%d\n" % store[b"n"]
    if words[:1] == [b"bye"]:
        return None
    return b"err\n"


def drop(client):
    selector.unregister(client)
    del buffers[client]
    client.close()


while True:
    for key, _ in selector.select():
        if key.fileobj is server:
            client, _ = server.accept()
            client.setblocking(False)
            selector.register(client, selectors.EVENT_READ)
            buffers[client] = bytearray()
            latest = client
            if BUG == "leak":
                kept.append(client.dup())
            continue
        client = key.fileobj
        try:
            data = client.recv(4096)
        except OSError:
            data = b""
        if not data:
            if BUG == "prefix" and buffers[client]:
                sys.exit(3)
            drop(client)
            continue
        buffer = shared if BUG == "shared" else buffers[client]
        if BUG == "cut" and len(buffer) == 7:
            buffer.clear()
        buffer += data
        if BUG == "pipeline" and buffer.count(b"\n") > 1:
            del buffer[: buffer.index(b"\n") + 1]
        if BUG == "half":
            try:
                # Takes its time, and looks whether anybody still waits.
                if select.select([client], [], [], 0.05)[0] and client.recv(1, socket.MSG_PEEK) == b"":
                    drop(client)
                    continue
            except OSError:
                pass
        if BUG == "long" and len(buffer) > 2000:
            sys.exit(3)
        while b"\n" in buffer:
            end = buffer.index(b"\n")
            line = bytes(buffer[:end])
            del buffer[: end + 1]
            reply = answer(line)
            try:
                if reply is None:
                    client.sendall(b"bye\n")
                    # With the bug, only who says it in one piece is let go.
                    if BUG != "stays" or data == b"bye\n":
                        drop(client)
                        break
                else:
                    (latest if BUG == "latest" else client).sendall(reply)
            except OSError:
                pass
