//! What a peer answers over HTTP: its page, the torrent, the file once it is whole, and the tracker's announcements.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Shared, Swarm};
use crate::http::{Head, Resources, Response, decoded};
use crate::settings::Clock;

/// The longest host in a request that becomes part of a torrent.
const HOST_LEN_MAX: usize = 255;

/// The resources as they are for one connection.
pub(super) struct Web {
    pub(super) shared: Shared,
    /// Where the client is.
    pub(super) ip: Option<IpAddr>,
    pub(super) clock: Clock,
}

impl Resources for Web {
    fn answer(&self, head: &Head, _: Vec<u8>) -> Response {
        if !matches!(head.method.as_slice(), b"GET" | b"HEAD") {
            return Response::error(405).with("Allow", "GET, HEAD");
        }
        let mut swarm = self.shared.lock();
        let Some(path) = decoded(&head.path).and_then(|path| String::from_utf8(path).ok()) else {
            return Response::error(404);
        };
        match path.strip_prefix('/') {
            Some("") => Response::text(200, &page(&swarm)),
            Some("announce") => {
                let (host, now) = (swarm.host(), (self.clock)());
                let is_whole = swarm.missing() == 0;
                let Swarm { calls, tracker, torrent, .. } = &mut *swarm;
                let answer = tracker.announce(&head.query, self.ip, &torrent.info_hash, host, now);
                if !is_whole {
                    calls.learn(tracker.peers());
                }
                Response::new(200, "text/plain", answer.emit())
            }
            Some(name) if name == swarm.torrent.name => match swarm.file() {
                Some(pieces) => Response::parts("application/octet-stream", pieces),
                None => Response::error(503),
            },
            Some(name) if name.strip_suffix(".torrent") == Some(&swarm.torrent.name) => {
                let url = announce_url(head, &swarm);
                Response::new(200, "application/x-bittorrent", swarm.torrent.metainfo(url.as_deref()))
            }
            _ => Response::error(404),
        }
    }
}

/// The tracker's URL in a torrent: this server, as the client calls it.
fn announce_url(head: &Head, swarm: &Swarm) -> Option<String> {
    let host = head.values("host").next().and_then(|host| str::from_utf8(host).ok());
    let is_sound = |host: &&str| (1..=HOST_LEN_MAX).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_graphic());
    let host = host.filter(is_sound).map(str::to_owned).or_else(|| swarm.calls.local.map(|local| local.to_string()))?;
    Some(format!("http://{host}/announce"))
}

fn page(swarm: &Swarm) -> String {
    let (torrent, pieces) = (&swarm.torrent, swarm.torrent.pieces());
    let mut page = format!(
        "/{} has {} bytes in {pieces} pieces, of which {} are here\n/{}.torrent tells clients of it\ninfo hash ",
        torrent.name,
        torrent.len(),
        pieces - swarm.missing(),
        torrent.name
    );
    torrent.info_hash.iter().for_each(|byte| {
        let _ = write!(page, "{byte:02x}"); // a string takes everything
    });
    let _ = writeln!(
        page,
        "\nconnected to {} peers; {} bytes were sent and {} received",
        swarm.links(),
        swarm.uploaded,
        swarm.downloaded
    );
    page
}

impl Web {
    /// The resources as a client at `ip` sees them.
    pub(super) fn shared(shared: Shared, ip: Option<IpAddr>, clock: Clock) -> Arc<dyn Resources> {
        Arc::new(Web { shared, ip, clock })
    }
}
