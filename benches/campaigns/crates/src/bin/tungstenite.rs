//! A WebSocket server that echoes, with a thread for each connection.

use std::env::args;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use tungstenite::{Result, accept};

fn main() {
    let port = args().nth(1).and_then(|port| port.parse().ok()).expect("a port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    for stream in listener.incoming().flatten() {
        thread::spawn(|| {
            let _ = serve(stream);
        });
    }
}

fn serve(stream: TcpStream) -> Result<()> {
    let Ok(mut socket) = accept(stream) else { return Ok(()) };
    loop {
        let message = socket.read()?;
        if message.is_text() || message.is_binary() {
            socket.send(message)?;
        }
    }
}
