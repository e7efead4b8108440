//! What a file says about TLS: `tls` and `starttls`.

use std::path::PathBuf;

use super::scope::Scope;
use crate::document::{Node, Reader, Table, Value};
use crate::event::Place;
use crate::template::Template;

/// How one end of a connection does TLS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where it stands.
    pub place: Place,
    /// Where relative paths start.
    pub folder: PathBuf,
    /// The name that a client asks for and checks, or that a server's own certificate has as well.
    pub server_name: Option<Template>,
    /// Whom it trusts. A server that trusts somebody requires a certificate of its clients.
    pub ca: Trust,
    /// Who it says it is.
    pub identity: Identity,
    /// The protocols that it offers by ALPN, the first preferred.
    pub alpn: Vec<String>,
    /// Whether a client takes any certificate.
    pub insecure: bool,
}

/// Whom one end trusts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// The run's own authority where somebody has to be trusted, nobody else.
    Default,
    /// The authorities in a file.
    File(Template),
    /// The run's own authority.
    Own,
}

/// Who one end says it is.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A server has a certificate of the run's own authority, a client has none.
    Default,
    /// A certificate chain and its key, from files.
    Files {
        /// The chain.
        cert: Template,
        /// The key.
        key: Template,
    },
    /// A certificate of the run's own authority.
    Own,
}

/// Variables that lead to files of the run's own authority.
pub const TLS_VARIABLES: &[&str] = &["tls.ca", "tls.cert", "tls.key", "tls.client_cert", "tls.client_key"];

const KEYS: &[&str] = &["server_name", "ca", "cert", "key", "alpn", "insecure"];

impl Tls {
    /// What `true` means.
    pub(crate) fn plain(place: Place, folder: PathBuf) -> Tls {
        Tls {
            place,
            folder,
            server_name: None,
            ca: Trust::Default,
            identity: Identity::Default,
            alpn: Vec::new(),
            insecure: false,
        }
    }

    /// As a scenario in its folder has it.
    pub(crate) fn node(&self) -> Node {
        let mut table = Table::default();
        let text = |template: &Template| Node::from(template.source());
        if let Some(name) = &self.server_name {
            table.set("server_name", text(name));
        }
        match &self.ca {
            Trust::Default => {}
            Trust::File(path) => table.set("ca", text(path)),
            Trust::Own => table.set("ca", true),
        }
        match &self.identity {
            Identity::Default => {}
            Identity::Files { cert, key } => {
                table.set("cert", text(cert));
                table.set("key", text(key));
            }
            Identity::Own => table.set("cert", true),
        }
        if !self.alpn.is_empty() {
            table.set("alpn", self.alpn.iter().map(|name| Node::from(name.as_str())).collect::<Vec<_>>());
        }
        if self.insecure {
            table.set("insecure", true);
        }
        if table.entries.is_empty() { Node::from(true) } else { table.into() }
    }
}

/// Reads `true` or a table. `None` for `false`, and for what is neither.
pub(super) fn lower(reader: &mut Reader, node: &Node, what: &str, scope: &mut Scope) -> Option<Tls> {
    let mut tls = Tls::plain(reader.source().place(node.span.clone()), reader.folder(&node.span));
    let table = match &node.value {
        Value::Boolean(true) => return Some(tls),
        Value::Boolean(false) => return None,
        Value::Table(table) => table,
        other => {
            let hint = "`true`, or `{ server_name, ca, cert, key, alpn, insecure }`";
            reader.mistake_with_hint(&node.span, format!("{what} is no {}", other.kind()), hint);
            return None;
        }
    };
    reader.check_keys(table, KEYS, what);
    let mut template = |reader: &mut Reader, node: &Node, what: &str| {
        let template = reader.template(node, what)?;
        scope.check(reader, &node.span, template.variables());
        Some(template)
    };
    tls.server_name = table.get("server_name").and_then(|node| template(reader, node, "`server_name`"));
    match table.get("ca") {
        None => {}
        Some(Node { value: Value::Boolean(true), .. }) => tls.ca = Trust::Own,
        Some(node) => tls.ca = Trust::File(template(reader, node, "`ca`")?),
    }
    match (table.get("cert"), table.get("key")) {
        (None, None) => {}
        (Some(Node { value: Value::Boolean(true), .. }), None) => tls.identity = Identity::Own,
        (Some(cert), Some(key)) => {
            let (cert, key) = (template(reader, cert, "`cert`"), template(reader, key, "`key`"));
            tls.identity = Identity::Files { cert: cert?, key: key? };
        }
        (Some(_), None) => missing(reader, table, "cert", "key"),
        (None, Some(_)) => missing(reader, table, "key", "cert"),
    }
    if let Some(node) = table.get("alpn") {
        tls.alpn = reader.static_strings(node, "`alpn`").unwrap_or_default();
        if tls.alpn.iter().any(|name| name.is_empty() || name.len() > 255) {
            reader.mistake(&node.span, "a protocol's name in `alpn` has 1 to 255 bytes (RFC 7301, section 3.1)");
        }
    }
    tls.insecure = table.get("insecure").and_then(|node| reader.boolean(node, "`insecure`")).unwrap_or(false);
    Some(tls)
}

fn missing(reader: &mut Reader, table: &Table, there: &str, wanted: &str) {
    let Some(entry) = table.entry(there) else { return };
    let hint = "both are PEM files; `cert = true` alone is a certificate of the run's own authority";
    reader.mistake_with_hint(&entry.key_span, format!("`{there}` goes with `{wanted}`"), hint);
}
