//! An HTTP/2 server that answers every request with a word.

use std::env::args;
use std::net::Ipv4Addr;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use http::Response;
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() {
    let port: u16 = args().nth(1).and_then(|port| port.parse().ok()).expect("a port");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port is free");
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    }
}

async fn serve(stream: TcpStream) -> Result<(), h2::Error> {
    let mut connection = server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (_, respond) = request?;
        tokio::spawn(async move { answer(respond) });
    }
    Ok(())
}

fn answer(mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
    let mut body = respond.send_response(Response::new(()), false)?;
    body.send_data(Bytes::from_static(b"word"), true)
}
