"""A server of lines that knows who is logged in: `login.py PORT [BUG]`."""

import _socket
import _thread
import sys

BUG = sys.argv[2] if len(sys.argv) > 2 else ""
server = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen(256)


def lines(client):
    rest = b""
    while data := client.recv(4096):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole


def serve(client):
    inside, tries = False, 0
    for line in lines(client):
        if line == b"login rose":
            inside, tries, answer = True, 0, b"welcome"
        elif line.startswith(b"login"):
            tries += 1
            # With the bug, the third failure leaves the door open.
            inside, answer = BUG == "third" and tries == 3, b"wrong"
        elif line == b"read":
            answer = b"news" if inside else b"denied"
        elif line == b"logout":
            inside, answer = False, b"bye"
        else:
            answer = b"what"
        client.sendall(answer + b"\n")


def handle(client):
    try:
        serve(client)
    except OSError:
        pass
    client.close()


while True:
    _thread.start_new_thread(handle, (_socket.socket(fileno=server._accept()[0]),))
