//! A relay for streams: each connection is a task of its own.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::super::listen::{Arrival, Listener};
use super::super::player::{Dial, Origin};
use super::super::socket::{self, NotOpened, Opened, Socket};
use super::connection::Connection;
use super::{CONNECTIONS_MAX, Route, told_on};
use crate::event::{Endpoint, EventKind};

/// Takes in connections until it is stopped.
pub(super) async fn serve(route: Route, mut listener: Listener, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    let mut count = 0;
    loop {
        let arrival = tokio::select! {
            biased;
            _ = &mut stopped => return connections.shutdown().await,
            arrival = std::future::poll_fn(|cx| listener.poll(cx)) => arrival,
            Some(joined) = connections.join_next() => {
                told_on(joined);
                continue;
            }
        };
        match arrival {
            Ok(Arrival::Stream { socket, peer, .. }) => {
                count += 1;
                if count > CONNECTIONS_MAX {
                    socket.reset();
                    let message = format!("the relay `{}` takes {CONNECTIONS_MAX} connections of a case", route.relay);
                    route.log.tell(EventKind::Warning { message });
                    break;
                }
                connections.spawn_local(pass(route.clone(), count, socket, peer));
            }
            Ok(Arrival::Datagram { .. }) => unreachable!("it listens for streams"),
            Err(error) => {
                let message = format!("the relay `{}` cannot take in a connection: {error}", route.relay);
                route.log.tell(EventKind::Warning { message });
                break;
            }
        }
    }
    // Whoever comes from here on is refused.
    drop(listener);
    tokio::select! {
        biased;
        _ = stopped => {}
        () = async { while let Some(joined) = connections.join_next().await { told_on(joined); } } => {}
    }
    connections.shutdown().await;
}

/// Connects on, and passes bytes until both sides have ended.
async fn pass(route: Route, number: u32, client: Socket, peer: Endpoint) {
    let opened = socket::open(&Dial::to(route.to.clone()), None, &Origin::default()).await;
    let Route { relay, log, .. } = &route;
    let (relay, log) = (Arc::clone(relay), Rc::clone(log));
    match opened {
        Ok(Opened { socket, peer: to, .. }) => {
            let transport = client.transport();
            log.tell(EventKind::RelayOpened { relay, connection: number, transport, peer, to });
            Connection::new(route, number, [client, socket]).run().await;
        }
        Err(NotOpened { peer: to, refused, reason }) => {
            log.tell(EventKind::RelayFailed { relay, connection: number, peer, to, refused, reason });
            client.reset();
        }
    }
}
