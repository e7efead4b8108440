//! A TLS server that looks at the ClientHello before it chooses a configuration, and echoes.

use std::env::args;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;

#[tokio::main]
async fn main() {
    let port: u16 = args().nth(1).and_then(|port| port.parse().ok()).expect("a port");
    let made = rcgen::generate_simple_self_signed(["name.test".to_owned()]).expect("a certificate");
    let key = made.signing_key.serialize_der().try_into().expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key);
    let config = Arc::new(config.expect("they belong together"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port is free");
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, config.clone()));
        }
    }
}

async fn serve(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    // By the name that is asked for, if there were others.
    let _ = start.client_hello().server_name();
    let stream = start.into_stream(config).await?;
    let (mut input, mut output) = tokio::io::split(stream);
    tokio::io::copy(&mut input, &mut output).await?;
    Ok(())
}
