#!/bin/sh
echo "port $1"
