"""Servers of other people, built already, by the path in an environment variable."""

import os
import socket
from pathlib import Path

from common import Failed, free_port, fuzz, median, needed, rounds, table

HERE = Path(__file__).parent

FTP = """
[target.server]
command = ["{program}", "{folder}/fftp.conf"]
cwd = "{folder}"
address = "tcp://127.0.0.1:{port}"

[actor.client]
connect = "server"
framing = "crlf"
{protocol}
[[case]]
name = "a session"
steps = [
  {{ expect = {{ prefix = "220" }} }},
{steps}
]
"""

# A session as a client has it, from the login to the end. It leaves everything as it was: the next one is answered the same.
SESSION = [
    ("USER ubuntu", "331"), ("PASS ubuntu", "230"), ("SYST", "215"), ("TYPE I", "200"), ("PWD", "257"),
    ("MKD new", "257"), ("CWD new", "250"), ("CDUP", "250"), ("SIZE file", "213"), ("PASV", "227"), ("RNFR file", "350"),
    ("RNTO name", "250"), ("RNFR name", "350"), ("RNTO file", "250"), ("DELE none", "550"), ("RMD new", "250"), ("REST 0", "350"),
    ("NOOP", "200"), ("QUIT", "221"),
]

CONFIG = """[ftpconfig]
port={port}
maxusers=1000
interface=127.0.0.1
local_mask=255.255.255.0
external_ip=127.0.0.1
minport=1024
maxport=65535
logfilepath={folder}/log
[ubuntu]
pswd=ubuntu
accs=admin
root={folder}/files
"""

DNS = """
[target.server]
command = ["{program}", "-k", "-C", "/dev/null", "-p", "{port}", "--listen-address=127.0.0.1", "--bind-interfaces",
  "--no-resolv", "--no-hosts", "--user={user}", "--pid-file={folder}/pid", "--address=/name.test/192.0.2.1",
  "--txt-record=text.test,some words", "--mx-host=name.test,mail.test,10", "--cname=other.test,name.test",
  "--srv-host=_http._tcp.test,name.test,80"]
address = "udp://127.0.0.1:{port}"

[actor.client]
connect = "server"
protocol = "dns"
"""

DNS_CASE = """
[[case]]
name = "asks for {name} {number}"
steps = [
  {{ send = {{ hex = "1234 0100 0001 0000 0000 0000 {labels} 00 {number:04x} 0001" }} }},
  {{ expect = {{ prefix = {{ hex = "1234" }} }} }},
]
"""

# What is published is delivered every 100 ms, and so not waited for.
MQTT = """
[target.server]
command = ["{program}", "-c", "{folder}/mosquitto.conf"]
address = "tcp://127.0.0.1:{port}"

[actor.client]
connect = "server"
protocol = "{protocol}"

[[case]]
name = "connects as version 5"
steps = [
  {{ send = {{ hex = "10 0f 0004 4d515454 05 02 003c 00 0002 6162" }} }},
  {{ expect = {{ prefix = {{ hex = "20" }} }} }},
  {{ send = {{ hex = "c0 00" }} }},
  {{ expect = {{ hex = "d0 00" }} }},
]

[[case]]
name = "publishes as version 5"
steps = [
  {{ send = {{ hex = "10 0f 0004 4d515454 05 02 003c 00 0002 6364" }} }},
  {{ expect = {{ prefix = {{ hex = "20" }} }} }},
  {{ send = {{ hex = "82 07 0001 00 0001 61 00" }} }},
  {{ expect = {{ prefix = {{ hex = "90" }} }} }},
  {{ send = {{ hex = "32 07 0001 61 0002 00 78" }} }},
]
"""


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def row(how, campaigns):
    buckets = sorted({finding["bucket"] for campaign in campaigns for finding in campaign.findings})
    return [
        how,
        median([campaign.session_rate for campaign in campaigns]),
        median([campaign.rate for campaign in campaigns]),
        median([campaign.json["edges"] for campaign in campaigns]),
        ", ".join(buckets) or "none",
    ]


HEAD = ["how", "sessions/s", "cases/s", "edges", "findings"]


def lightftp(arguments):
    program = needed("LIGHTFTP", "LightFTP's `fftp`")
    rows = []
    for how, described in (("with a description", True), ("from one session", False)):

        def once(seed, folder):
            port = free_port()
            (folder / "files").mkdir()
            (folder / "files/file").write_text("some\n")
            written(folder, "fftp.conf", CONFIG.format(port=port, folder=folder))
            steps = "".join(f'  {{ send = "{say}" }},\n  {{ expect = {{ prefix = "{hear}" }} }},\n' for say, hear in SESSION)
            protocol = f'protocol = "{HERE}/ftp.toml"\n' if described else ""
            text = FTP.format(program=program, folder=folder, port=port, protocol=protocol, steps=steps)
            scenario = written(folder, "scenario.toml", text)
            return fuzz(scenario, folder / "out", "--keep-going", seed=seed, seconds=arguments.seconds)

        rows.append(row(how, rounds(arguments, once)))
    table(HEAD, rows)


def dnsmasq(arguments):
    program = needed("DNSMASQ", "dnsmasq")
    questions = [("name.test", 1), ("name.test", 28), ("text.test", 16), ("name.test", 15), ("other.test", 5), ("_http._tcp.test", 33), ("none.test", 1), ("version.bind", 16)]

    def labels(name):
        return "".join(f"{len(label):02x}{label.encode().hex()}" for label in name.split("."))

    def once(seed, folder):
        user = __import__("getpass").getuser()
        port = free_port(socket.SOCK_DGRAM)
        text = DNS.format(program=program, port=port, folder=folder, user=user)
        text += "".join(DNS_CASE.format(name=name, number=number, labels=labels(name)) for name, number in questions)
        scenario = written(folder, "scenario.toml", text)
        return fuzz(scenario, folder / "out", "--keep-going", seed=seed, seconds=arguments.seconds)

    table(HEAD, [row("with the description of DNS", rounds(arguments, once))])


def mosquitto(arguments):
    program = needed("MOSQUITTO", "mosquitto")

    def once(seed, folder):
        port = free_port()
        user = __import__("getpass").getuser()
        config = f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser {user}\nlog_dest none\n"
        written(folder, "mosquitto.conf", config)
        scenario = written(folder, "scenario.toml", MQTT.format(program=program, folder=folder, port=port, protocol=HERE / "mqtt5.toml"))
        return fuzz(scenario, folder / "out", "--keep-going", seed=seed, seconds=arguments.seconds)

    # Not the only bug in that version: this one is in what the broker does with an answer to a request that it has not made.
    campaigns = rounds(arguments, once)
    named = [[finding for finding in campaign.findings if "connack" in finding["bucket"]] for campaign in campaigns]
    hits = [findings[0] for findings in named if findings]
    table(HEAD, [row("two sessions of version 5", campaigns)])
    size = median([hit["bytes"] for hit in hits])
    print(f"\nfound in {len(hits)} of {len(campaigns)}, after {median([hit['seconds'] for hit in hits], 1)} s, {size} bytes")
    if os.environ.get("MOSQUITTO_HAS_THE_BUG") and len(hits) < len(campaigns):
        raise Failed("it is not found each time")
