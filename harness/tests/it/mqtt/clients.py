"""What paho-mqtt sees of a broker: PORT PLAYS [AUTHORITY], the plays with commas between them.

Nothing here sleeps: each step waits for what has to come, and gives up after some seconds."""

import queue
import ssl
import sys

import paho.mqtt.client as mqtt

PORT = int(sys.argv[1])
AUTHORITY = sys.argv[3] if len(sys.argv) > 3 else None
PATIENCE = 20


class Client:
    def __init__(self, client_id="", clean=True, will=None, keepalive=60, user=None):
        self.came, self.codes, self.done, self.gone = queue.Queue(), queue.Queue(), queue.Queue(), queue.Queue()
        self.mqtt = mqtt.Client(client_id, clean_session=clean, protocol=mqtt.MQTTv311)
        self.mqtt.on_connect = lambda c, u, flags, code: self.codes.put((code, flags["session present"]))
        self.mqtt.on_message = lambda c, u, m: self.came.put((m.topic, m.payload.decode(), m.qos, bool(m.retain)))
        self.mqtt.on_publish = lambda c, u, mid: self.done.put(mid)
        self.mqtt.on_subscribe = lambda c, u, mid, granted: self.done.put(list(granted))
        self.mqtt.on_unsubscribe = lambda c, u, mid: self.done.put("unsubscribed")
        self.mqtt.on_disconnect = self.disconnected
        if will:
            self.mqtt.will_set(*will[:2], qos=will[2], retain=will[3])
        if user:
            self.mqtt.username_pw_set(*user)
        if AUTHORITY:
            self.mqtt.tls_set(AUTHORITY, tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.mqtt.connect("127.0.0.1", PORT, keepalive)
        self.mqtt.loop_start()
        self.code, self.present = self.codes.get(timeout=PATIENCE)

    def disconnected(self, *_):
        self.mqtt.disconnect()  # no new attempt
        self.gone.put(True)

    def subscribe(self, *filters):
        self.mqtt.subscribe(list(filters))
        return self.done.get(timeout=PATIENCE)

    def unsubscribe(self, name):
        self.mqtt.unsubscribe(name)
        return self.done.get(timeout=PATIENCE)

    def publish(self, topic, payload, qos=0, retain=False):
        self.mqtt.publish(topic, payload, qos, retain)
        self.done.get(timeout=PATIENCE)

    def next(self):
        return self.came.get(timeout=PATIENCE)

    def leave(self):
        self.mqtt.disconnect()
        self.gone.get(timeout=PATIENCE)
        self.mqtt.loop_stop()

    def die(self):
        """Goes without a word."""
        self.mqtt.loop_stop()
        self.mqtt.socket().close()


def check(found, expected):
    assert found == expected, f"expected {expected}, got {found}"


def every_qos():
    publisher, subscribers = Client("pub"), [Client(f"sub{qos}") for qos in range(3)]
    for qos, subscriber in enumerate(subscribers):
        check(subscriber.subscribe(("qos/+", qos)), [qos])
    for qos in range(3):
        publisher.publish(f"qos/{qos}", "x" * 10_000, qos)
    for granted, subscriber in enumerate(subscribers):
        for qos in range(3):
            check(subscriber.next(), (f"qos/{qos}", "x" * 10_000, min(qos, granted), False))
    check(subscribers[0].unsubscribe("qos/+"), "unsubscribed")
    publisher.publish("qos/last", "y", 2)
    publisher.publish("other", "z", 2)
    check(subscribers[0].subscribe(("other", 0)), [0])
    publisher.publish("other", "now", 1)
    check(subscribers[0].next(), ("other", "now", 0, False))
    for client in [publisher, *subscribers]:
        client.leave()


def many_in_order():
    publisher, subscriber = Client("pub"), Client("sub")
    subscriber.subscribe(("many", 2))
    for number in range(300):
        publisher.mqtt.publish("many", str(number), number % 3)
    # Each quality of service is in order.
    came = [subscriber.next() for _ in range(300)]
    for qos in range(3):
        numbers = [int(payload) for _, payload, of, _ in came if of == qos]
        check(numbers, list(range(qos, 300, 3)))
    publisher.leave()
    subscriber.leave()


def retained():
    publisher = Client("pub")
    publisher.publish("kept/a", "1", 1, True)
    publisher.publish("kept/b", "2", 0, True)
    subscriber = Client("sub")
    check(subscriber.subscribe(("kept/#", 1), ("$SYS/broker/version", 0)), [1, 0])
    came = sorted(subscriber.next() for _ in range(3))
    check([m for m in came if m[0] != "$SYS/broker/version"], [("kept/a", "1", 1, True), ("kept/b", "2", 0, True)])
    assert came[0][0] == "$SYS/broker/version" and came[0][3], came
    publisher.publish("kept/a", "", 1, True)
    check(subscriber.next(), ("kept/a", "", 1, False))
    late = Client("late")
    late.subscribe(("kept/+", 0))
    check(late.next(), ("kept/b", "2", 0, True))
    publisher.publish("kept/b", "", 1, True)
    check(late.next(), ("kept/b", "", 0, False))
    for client in [publisher, subscriber, late]:
        client.leave()


def wills():
    watcher = Client("watcher")
    watcher.subscribe(("will/#", 1))
    Client("polite", will=("will/polite", "?", 1, False)).leave()
    Client("rude", will=("will/rude", "gone", 1, False)).die()
    check(watcher.next(), ("will/rude", "gone", 1, False))
    watcher.leave()


def silence():
    watcher = Client("watcher")
    watcher.subscribe(("will/#", 1))
    silent = Client("silent", will=("will/silent", "gone", 1, False), keepalive=1)
    silent.mqtt.loop_stop()  # nobody pings any more
    check(watcher.next(), ("will/silent", "gone", 1, False))
    watcher.leave()


def sessions():
    first = Client("keeper", clean=False)
    check((first.code, first.present), (0, 0))
    first.subscribe(("later/+", 2))
    first.leave()
    publisher = Client("pub")
    for qos in range(3):
        publisher.publish(f"later/{qos}", str(qos), qos)
    second = Client("keeper", clean=False)
    check((second.code, second.present), (0, 1))
    check([second.next(), second.next()], [("later/1", "1", 1, False), ("later/2", "2", 2, False)])
    # The same client again, before it has gone: it is the one that stays.
    third = Client("keeper", clean=False)
    check((third.present, second.gone.get(timeout=PATIENCE)), (1, True))
    publisher.publish("later/again", "x", 1)
    check(third.next(), ("later/again", "x", 1, False))
    third.leave()
    check(Client("keeper").present, 0)
    publisher.leave()


def users():
    check(Client("a").code, 5)
    check(Client("a", user=("ada", "wrong")).code, 5)
    check(Client("a", user=("ada", "engine")).code, 0)


for name in sys.argv[2].split(","):
    globals()[name]()
    print(name, flush=True)
