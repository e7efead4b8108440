#!/usr/bin/env python3
"""Exits with 0 when somebody listens on a port."""
import socket
import sys

socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
