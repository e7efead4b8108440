//! A DNS server over UDP for one zone.

use std::env::args;
use std::net::{Ipv4Addr, UdpSocket};
use std::str::FromStr;

use trust_dns_server::ServerFuture;
use trust_dns_server::authority::{Catalog, ZoneType};
use trust_dns_server::proto::rr::rdata::SOA;
use trust_dns_server::proto::rr::{Name, RData, Record};
use trust_dns_server::store::in_memory::InMemoryAuthority;

fn main() {
    let port = args().nth(1).and_then(|port| port.parse().ok()).expect("a port");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    tokio01::run(futures01::future::lazy(move || {
        ServerFuture::new(catalog()).register_socket_std(socket);
        Ok(())
    }));
}

fn catalog() -> Catalog {
    let name = |text| Name::from_str(text).expect("a name");
    let zone = name("name.test.");
    let mut records = InMemoryAuthority::empty(zone.clone(), ZoneType::Master, false);
    let soa = SOA::new(name("ns.name.test."), name("admin.name.test."), 1, 3600, 600, 86400, 60);
    records.upsert(Record::from_rdata(zone.clone(), 60, RData::SOA(soa)), 0);
    let address = RData::A(Ipv4Addr::new(192, 0, 2, 1));
    records.upsert(Record::from_rdata(name("www.name.test."), 60, address), 0);
    let mut catalog = Catalog::new();
    catalog.upsert(zone.into(), Box::new(records));
    catalog
}
