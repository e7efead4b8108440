#!/usr/bin/env python3
"""Greets whoever connects, and sends back what it gets. The argument is a port, or the path of a socket."""
import os
import socket
import sys
import threading


def serve(connection):
    connection.sendall(os.environ.get("GREETING", "hello").encode() + b"\n")
    while data := connection.recv(4096):
        connection.sendall(data)
    connection.close()


where = sys.argv[1]
if where.isdigit():
    server = socket.create_server(("127.0.0.1", int(where)))
else:
    server = socket.socket(socket.AF_UNIX)
    server.bind(where)
    server.listen()
print("listening on", where, flush=True)
print("ready", file=sys.stderr, flush=True)
while True:
    connection, _ = server.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
