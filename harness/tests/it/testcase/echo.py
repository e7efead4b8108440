import socket
import sys

server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = server.accept()
    while data := connection.recv(65536):
        connection.sendall(data)
