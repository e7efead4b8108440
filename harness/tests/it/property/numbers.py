"""Doubles numbers, each with an identifier, in messages of four bytes: `numbers.py PORT [BUG]`."""

import _socket
import _thread
import posix
import sys

BUG = sys.argv[2] if len(sys.argv) > 2 else ""
server = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
server.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
server.bind(("127.0.0.1", int(sys.argv[1])))
server.listen(256)


def serve(client):
    rest = b""
    while data := client.recv(4096):
        rest += data
        asked = [rest[at : at + 4] for at in range(0, len(rest) - 3, 4)]
        rest = rest[len(asked) * 4 :]
        ids = [one[1:3] for one in asked]
        if BUG == "last" and asked:
            ids = [ids[-1]] * len(ids)
        answers = [b"\x02" + own + bytes([one[3] * 2 & 255]) for own, one in zip(ids, asked)]
        if BUG == "reversed":
            answers.reverse()
        if BUG == "twice" and len(answers) > 1:
            answers.append(answers[0])
        # With the bug, the largest number that there is, or one more than that.
        if BUG == "largest" and any(one[3] == 100 for one in asked):
            posix._exit(3)
        if BUG == "beyond" and any(one[3] == 101 for one in asked):
            posix._exit(3)
        client.sendall(b"".join(answers))


def handle(client):
    try:
        serve(client)
    except OSError:
        pass
    client.close()


while True:
    _thread.start_new_thread(handle, (_socket.socket(fileno=server._accept()[0]),))
