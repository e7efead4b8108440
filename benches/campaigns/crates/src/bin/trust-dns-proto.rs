//! A DNS server over UDP that knows one address.

use std::env::args;
use std::net::{Ipv4Addr, UdpSocket};

use trust_dns_proto::op::{Message, MessageType, ResponseCode};
use trust_dns_proto::rr::{RData, Record, RecordType};

fn main() {
    let port = args().nth(1).and_then(|port| port.parse().ok()).expect("a port");
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    let mut datagram = [0; 4096];
    loop {
        let Ok((len, peer)) = socket.recv_from(&mut datagram) else { continue };
        let Ok(request) = Message::from_vec(&datagram[..len]) else { continue };
        if request.message_type() == MessageType::Query
            && let Ok(reply) = answer(&request).to_vec()
        {
            let _ = socket.send_to(&reply, peer);
        }
    }
}

fn answer(request: &Message) -> Message {
    let mut reply = Message::new();
    reply.set_id(request.id()).set_op_code(request.op_code()).set_message_type(MessageType::Response);
    for query in request.queries() {
        reply.add_query(query.clone());
        match query.query_type() {
            RecordType::A => {
                let address = RData::A(Ipv4Addr::new(192, 0, 2, 1));
                reply.add_answer(Record::from_rdata(query.name().clone(), 60, RecordType::A, address));
            }
            _ => {
                reply.set_response_code(ResponseCode::NXDomain);
            }
        }
    }
    reply
}
