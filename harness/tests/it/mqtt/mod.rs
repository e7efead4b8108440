//! `mqtt-broker` and the clients that people use: paho-mqtt and mosquitto's, unchanged, in the clear and under TLS.
//!
//! A missing program fails its tests, so that nobody takes silence for agreement; with
//! `HARNESS_TEST_SKIP_TOOLS=1` they are skipped, and say so.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::capture::tools::{have, python};

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A broker, and how it is reached.
struct Broker {
    _running: Running,
    port: String,
    authority: Option<String>,
}

impl Broker {
    fn start(scheme: &str, args: &[&str]) -> Broker {
        let listen = format!("{scheme}://127.0.0.1:0");
        let mut command = Command::new(super::run::program());
        command.args(["serve", "mqtt-broker", "--listen", &listen]).args(args);
        let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it was built"));
        let line = first_line(running.0.stdout.take().expect("it is piped"));
        let authority = (scheme == "tls").then(|| {
            let line = first_line(running.0.stderr.take().expect("it is piped"));
            line.strip_prefix("clients have to trust the authority in ").expect("it says where").to_owned()
        });
        let port = line.rsplit(':').next().expect("an address").to_owned();
        Broker { _running: running, port, authority }
    }

    /// One of mosquitto's programs, on its way to this broker.
    fn mosquitto(&self, program: &str, args: &[&str]) -> Command {
        // Each line is to be seen when it is written.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", program, "-h", "127.0.0.1", "-p", &self.port, "-V", "mqttv311"]).args(args);
        if let Some(authority) = &self.authority {
            command.args(["--cafile", authority]);
        }
        command
    }

    /// Publishes with mosquitto's program, which waits until the message is acknowledged.
    #[track_caller]
    fn publish(&self, args: &[&str]) {
        let output = self.mosquitto("mosquitto_pub", args).output().expect("it is there");
        assert!(output.status.success(), "{}", said(&output));
    }

    /// Plays what is asked for in `clients.py`.
    #[track_caller]
    fn paho(&self, plays: &str) {
        let mut command = Command::new(python());
        command.args(["-c", include_str!("clients.py"), &self.port, plays]).args(&self.authority);
        let output = command.output().expect("python is there");
        let played = String::from_utf8_lossy(&output.stdout).replace('\n', ",");
        assert_eq!(played.trim_end_matches(','), plays, "{}", said(&output));
        assert!(output.status.success(), "{}", said(&output));
    }
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn first_line(output: impl std::io::Read) -> String {
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).expect("a line of text");
    line.trim_end().to_owned()
}

/// Whether the programs are there that these tests need.
#[track_caller]
fn have_clients() -> bool {
    have(&["mosquitto_pub", "mosquitto_sub", "paho"])
}

/// A subscriber of mosquitto's.
struct Subscriber {
    _running: Running,
    lines: BufReader<std::process::ChildStdout>,
}

impl Subscriber {
    /// Starts one, and waits until it has subscribed.
    #[track_caller]
    fn start(broker: &Broker, args: &[&str]) -> Subscriber {
        let mut subscriber = Subscriber::spawn(broker, args);
        subscriber.line("Subscribed ");
        subscriber
    }

    fn spawn(broker: &Broker, args: &[&str]) -> Subscriber {
        let mut command = broker.mosquitto("mosquitto_sub", &["-d", "-F", "> %r %q %t %p"]);
        let mut running = Running(command.args(args).stdout(Stdio::piped()).spawn().expect("it is there"));
        let lines = BufReader::new(running.0.stdout.take().expect("it is piped"));
        Subscriber { _running: running, lines }
    }

    /// What stands after `prefix` in the next line that begins with it.
    #[track_caller]
    fn line(&mut self, prefix: &str) -> String {
        let mut story = String::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).expect("text"), 0, "no `{prefix}` in:\n{story}");
            if let Some(rest) = line.strip_prefix(prefix) {
                return rest.trim_end().to_owned();
            }
            story += &line;
        }
    }

    /// The next message: whether it is retained, its `QoS`, topic and payload.
    #[track_caller]
    fn gets(&mut self, expected: &str) {
        assert_eq!(self.line("> "), expected);
    }
}

/// What mosquitto's clients see.
fn mosquitto(broker: &Broker) {
    broker.publish(&["-t", "kept/a", "-m", "old", "-r", "-q", "1"]);
    let mut subscribers = ["0", "1", "2"].map(|qos| {
        let mut subscriber = Subscriber::start(broker, &["-t", "t/+/x", "-t", "kept/#", "-q", qos]);
        subscriber.gets(&format!("1 {} kept/a old", qos.min("1")));
        subscriber
    });
    for qos in ["0", "1", "2"] {
        broker.publish(&["-t", "t/1/x", "-m", &format!("at {qos}"), "-q", qos]);
        broker.publish(&["-t", "t/1/y", "-m", "not for them", "-q", qos]);
    }
    for (granted, subscriber) in subscribers.iter_mut().enumerate() {
        for qos in 0..3 {
            subscriber.gets(&format!("0 {} t/1/x at {qos}", granted.min(qos)));
        }
    }
}

#[test]
fn mosquittos_clients_in_the_clear_and_under_tls() {
    if have_clients() {
        mosquitto(&Broker::start("tcp", &[]));
        mosquitto(&Broker::start("tls", &[]));
    }
}

#[test]
fn paho_in_the_clear() {
    if have_clients() {
        Broker::start("tcp", &[]).paho("every_qos,many_in_order,retained,wills,silence,sessions");
    }
}

#[test]
fn paho_under_tls() {
    if have_clients() {
        Broker::start("tls", &[]).paho("every_qos,many_in_order,retained,wills,sessions");
    }
}

#[test]
fn who_has_no_password_is_told_so() {
    if !have_clients() {
        return;
    }
    let broker = Broker::start("tcp", &["--set", "users=ada:engine bob:x"]);
    broker.paho("users");
    let refused = broker.mosquitto("mosquitto_pub", &["-t", "t", "-m", "x", "-u", "ada", "-P", "x"]).output();
    let refused = said(&refused.expect("it is there"));
    assert!(refused.contains("not authorised"), "{refused}");
    broker.publish(&["-t", "t", "-m", "x", "-q", "1", "-u", "ada", "-P", "engine"]);
}

#[test]
fn a_subscriber_that_comes_back_gets_what_it_missed_and_one_that_is_killed_leaves_its_will() {
    if !have_clients() {
        return;
    }
    let broker = Broker::start("tcp", &[]);
    let mut watcher = Subscriber::start(&broker, &["-t", "will", "-q", "1"]);
    let keeper = ["-i", "keeper", "-c", "-t", "t", "-q", "2"];
    let will = ["--will-topic", "will", "--will-payload", "gone", "--will-qos", "1"];
    drop(Subscriber::start(&broker, &[&keeper[..], &will].concat())); // by a signal that it cannot catch
    watcher.gets("0 1 will gone");
    for qos in ["0", "1", "2"] {
        broker.publish(&["-t", "t", "-m", qos, "-q", qos]);
    }
    let mut back = Subscriber::spawn(&broker, &keeper); // what was kept may come before its SUBACK
    back.gets("0 1 t 1");
    back.gets("0 2 t 2");
}

#[test]
fn mosquitto_is_asked_what_our_broker_is_asked() {
    let cases = |file: &str| {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(file));
        let text = text.expect("it comes with the project").replace("skip_unless = { command = \"mosquitto\" }\n", "");
        let (_, text) = text.split_once("[actor.pub]").expect("it has a publisher");
        text.trim_end().split("[[case]]").map(|case| case.trim_end().to_owned()).collect::<Vec<_>>()
    };
    let mut ours = cases("mqtt.toml");
    ours.retain(|case| !case.contains("a client that is silent"));
    assert_eq!(ours, cases("real/mosquitto-messages.toml"));
}
