//! A QUIC server that takes connections and resets nothing: the endpoint and its connections on one socket and one thread.

use std::collections::HashMap;
use std::env::args;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::{Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, ServerConfig, Transmit};

/// The least time that the socket can wait.
const WAIT_MIN: Duration = Duration::from_millis(1);

fn main() {
    let port = args().nth(1).and_then(|port| port.parse().ok()).expect("a port");
    let made = rcgen::generate_simple_self_signed(["name.test".to_owned()]).expect("a certificate");
    let certificate = rustls020::Certificate(made.cert.der().to_vec());
    let key = rustls020::PrivateKey(made.signing_key.serialize_der());
    let config = ServerConfig::with_single_cert(vec![certificate], key).expect("they belong together");
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), Some(Arc::new(config)));
    let mut connections: HashMap<ConnectionHandle, Connection> = HashMap::new();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    let mut datagram = [0; 65_536];
    loop {
        let next = connections.values_mut().filter_map(Connection::poll_timeout).min();
        let wait = next.map(|at| at.saturating_duration_since(Instant::now()).max(WAIT_MIN));
        socket.set_read_timeout(wait).expect("it is more than nothing");
        let received = socket.recv_from(&mut datagram);
        let now = Instant::now();
        if let Ok((len, peer)) = received {
            match endpoint.handle(now, peer, None, None, BytesMut::from(&datagram[..len])) {
                Some((handle, DatagramEvent::NewConnection(connection))) => {
                    connections.insert(handle, connection);
                }
                Some((handle, DatagramEvent::ConnectionEvent(event))) => {
                    if let Some(connection) = connections.get_mut(&handle) {
                        connection.handle_event(event);
                    }
                }
                None => {}
            }
        }
        while let Some(transmit) = endpoint.poll_transmit() {
            send(&socket, &transmit);
        }
        for (handle, connection) in &mut connections {
            if connection.poll_timeout().is_some_and(|at| at <= now) {
                connection.handle_timeout(now);
            }
            while let Some(event) = connection.poll_endpoint_events() {
                if let Some(event) = endpoint.handle_event(*handle, event) {
                    connection.handle_event(event);
                }
            }
            while connection.poll().is_some() {}
            while let Some(transmit) = connection.poll_transmit(now, 1) {
                send(&socket, &transmit);
            }
        }
        connections.retain(|_, connection| !connection.is_drained());
    }
}

fn send(socket: &UdpSocket, transmit: &Transmit) {
    let _ = socket.send_to(&transmit.contents, transmit.destination);
}
