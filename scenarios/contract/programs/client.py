"""Says hello to a server, and exits with the status that it is told."""
import socket
import sys

host, port = sys.argv[1].rsplit(":", 1)
with socket.create_connection((host, int(port))) as connection:
    connection.sendall(b"hello\n")
    status = int(connection.makefile().readline().split()[1])
sys.exit(status)
