//! Where each actor of a case stands: listeners are bound before anything else of the case begins, since its programs and
//! clients are told where they are.

use std::net::SocketAddr;

use super::listen::Listener;
use super::player::{Dial, Station};
use super::process::Address;
use super::relay::Relay;
use super::run::Run;
use super::socket::in_folder;
use super::target::{Owner, Running, set_address};
use crate::event::{Failure, FailureKind, Transport};
use crate::scenario::{Actor, Connect, Role, Scenario};
use crate::template::{Template, Variables};
use crate::url::Url;

/// What a failure says that is no step's.
fn failure(actor: &Actor, message: String) -> Box<Failure> {
    Box::new(Failure::new(FailureKind::Refused, message, actor.place.clone()))
}

impl Run {
    /// Binds what listens, and says where it is.
    pub(super) async fn bind(
        &self,
        owner: Owner<'_>,
        scenario: &Scenario,
        variables: &mut Variables,
    ) -> Result<Vec<Option<Listener>>, Box<Failure>> {
        let mut listeners = Vec::new();
        for actor in &scenario.actors {
            let (Role::Server(listen) | Role::Relay { listen, .. }) = &actor.role else {
                listeners.push(None);
                continue;
            };
            let address = self.resolve(actor, listen, owner, variables).await?;
            let listener = Listener::bind(&address)
                .map_err(|error| failure(actor, format!("`{}` cannot listen at {address}: {error}", actor.name)))?;
            set_address(variables, &actor.name, listener.address());
            listeners.push(Some(listener));
        }
        Ok(listeners)
    }

    /// Puts every actor in its place.
    pub(super) async fn stations(
        &self,
        owner: Owner<'_>,
        scenario: &Scenario,
        listeners: Vec<Option<Listener>>,
        running: &[&Running],
        variables: &Variables,
    ) -> Result<Vec<Station>, Box<Failure>> {
        let addresses: Vec<Option<Address>> =
            listeners.iter().map(|listener| listener.as_ref().map(|listener| listener.address().clone())).collect();
        let places = Places { scenario, addresses: &addresses, running };
        let mut stations = Vec::new();
        for (actor, listener) in scenario.actors.iter().zip(listeners) {
            stations.push(match (&actor.role, listener) {
                (Role::Server(_), Some(listener)) => Station::Server(listener),
                (Role::Client(connect), _) => {
                    let address = match connect {
                        // One that has variables is filled in when it is dialled.
                        Connect::Url(url) if url.as_literal().is_none() => None,
                        Connect::Url(url) => Some(self.resolve(actor, url, owner, variables).await?),
                        connect => places.of(connect),
                    };
                    let datagram = match &address {
                        Some(address) => matches!(address, Address::Udp(_) | Address::Unixgram(_)),
                        None => transport(actor).is_datagram(),
                    };
                    if actor.follow && !datagram {
                        let message = format!("`follow` on `{}` needs UDP: a stream's peer cannot change", actor.name);
                        return Err(failure(actor, message));
                    }
                    let bind = match &actor.bind {
                        Some(bind) => Some(local(actor, bind, variables)?),
                        None => None,
                    };
                    let bind = bind.filter(|_| !matches!(address, Some(Address::Unix(_) | Address::Unixgram(_))));
                    Station::Client(Dial { address, bind, follow: actor.follow })
                }
                (Role::Relay { to, .. }, Some(listener)) => {
                    let address = match to {
                        Connect::Url(url) => Some(self.resolve(actor, url, owner, variables).await?),
                        to => places.of(to),
                    };
                    let Some(to) = address else {
                        let message = format!("it is not known where the relay `{}` passes on to", actor.name);
                        return Err(failure(actor, message));
                    };
                    if listener.address().transport().is_datagram() != to.transport().is_datagram() {
                        let message =
                            format!("the relay `{}` cannot pass {} on to {to}", actor.name, listener.address());
                        return Err(failure(actor, message));
                    }
                    if actor.follow && !matches!(to, Address::Udp(_)) {
                        let message = format!("`follow` on `{}` needs UDP: a stream's peer cannot change", actor.name);
                        return Err(failure(actor, message));
                    }
                    Station::Relay(Relay::new(&actor.name, listener, to, actor.follow))
                }
                (Role::Relay { .. } | Role::Server(_), None) => unreachable!("what listens was bound"),
            });
        }
        Ok(stations)
    }

    async fn resolve(
        &self,
        actor: &Actor,
        url: &Template,
        owner: Owner<'_>,
        variables: &Variables,
    ) -> Result<Address, Box<Failure>> {
        let url = fill(actor, url, variables)?;
        let url = owner.family.map_or(url.clone(), |family| family.apply(&url));
        let url = Url::parse(&url).map_err(|error| failure(actor, error.to_string()))?;
        let address =
            url.resolve(self.options.allow_remote).await.map_err(|error| failure(actor, error.to_string()))?;
        Ok(in_folder(address, owner.folder))
    }
}

/// What is known of where everybody is.
struct Places<'a> {
    scenario: &'a Scenario,
    addresses: &'a [Option<Address>],
    running: &'a [&'a Running],
}

impl Places<'_> {
    /// The address of an actor or a target.
    fn of(&self, connect: &Connect) -> Option<Address> {
        match connect {
            Connect::Actor(at) => self.addresses[*at].clone(),
            Connect::Target(at) => {
                let name = &self.scenario.targets[*at].name;
                self.running.iter().find(|running| running.name == *name)?.address.clone()
            }
            Connect::Url(_) => None,
        }
    }
}

fn fill(actor: &Actor, template: &Template, variables: &Variables) -> Result<String, Box<Failure>> {
    template.fill_text(variables).map_err(|unset| failure(actor, format!("the variable `{}` has no value", unset.0)))
}

/// A local address: a host, or a host and a port.
fn local(actor: &Actor, bind: &Template, variables: &Variables) -> Result<SocketAddr, Box<Failure>> {
    let text = fill(actor, bind, variables)?;
    let socket = text.parse().or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, 0)));
    socket.map_err(|_| failure(actor, format!("`bind` is a host, or a host and a port, not `{text}`")))
}

/// What carries the connections of an actor.
pub(super) fn transports(scenario: &Scenario, stations: &[Station]) -> Vec<Transport> {
    let transports = scenario.actors.iter().zip(stations).map(|(actor, station)| match station {
        Station::Client(Dial { address: Some(address), .. }) => address.transport(),
        Station::Server(listener) => listener.address().transport(),
        Station::Relay(relay) => relay.address().transport(),
        Station::Client(_) => transport(actor),
    });
    transports.collect()
}

/// What its URL says, whose rest is not known yet.
fn transport(actor: &Actor) -> Transport {
    let Role::Client(Connect::Url(url)) = &actor.role else { return Transport::Tcp };
    let scheme = url.beginning().split(|byte| *byte == b':').next().unwrap_or_default();
    match scheme {
        b"udp" => Transport::Udp,
        b"unix" => Transport::Unix,
        b"unixgram" => Transport::Unixgram,
        _ => Transport::Tcp,
    }
}
