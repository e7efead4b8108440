//! A description in Lua, for tshark and Wireshark.
//!
//! What is written is two parts: the description as Lua tables with a field of Wireshark's for each of its fields, from here,
//! and `dissector.lua`, which reads those tables as [`super::decode`] reads the description. Digests (`sha1`, `sha256`) are
//! shown and not verified there; everything else that the one decoder refuses the other calls malformed.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::checksum::SUMS;
use super::description::{
    Bits, Compute, Direction, Extent, Field, Fields, How, Integer, Kind, Layout, Number, Protocol, Structure, Transport,
};
use super::expression::{Comparison, Expression, Reference};
use crate::framing::Shape;

/// What reads the tables.
const RUNTIME: &str = include_str!("dissector.lua");

/// The greatest whole number up to which all are exact in Lua, whatever its version.
const EXACT_MAX: i128 = 1 << 53;

/// Writes a dissector of `protocol`.
///
/// Its filters begin with `h_` and the protocol's name, so that they clash with none of Wireshark's own: `h_kv.get.id`. A
/// structure with a name has its filters for itself, wherever it stands: `h_dns.record.ttl`.
pub fn dissector(protocol: &Protocol) -> String {
    let prefix = format!("h_{}", protocol.name.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let mut writer = Writer { protocol, prefix, fields: String::new(), known: HashMap::new() };
    let structs = writer.structs();
    let messages = writer.messages();
    let mut lua = writer.head();
    lua.push_str(&writer.fields);
    let _ = write!(lua, "\nlocal structs = {{{structs}\n}}\n\nlocal messages = {{{messages}\n}}\n\n");
    writer.push_begins(&mut lua);
    writer.push_framing(&mut lua);
    lua.push('\n');
    lua.push_str(RUNTIME);
    lua.push('\n');
    let tables = match protocol.transport {
        Transport::Any => &["tcp", "udp"][..],
        Transport::Tcp => &["tcp"],
        Transport::Udp => &["udp"],
    };
    for table in tables {
        let _ = writeln!(lua, "DissectorTable.get(\"{table}.port\"):add_for_decode_as(proto)");
        if let Some(port) = protocol.port {
            let _ = writeln!(lua, "DissectorTable.get(\"{table}.port\"):add({port}, proto)");
        }
    }
    if tables.contains(&"udp") {
        lua.push_str("proto:register_heuristic(\"udp\", continue_datagrams)\n");
    }
    lua
}

struct Writer<'p> {
    protocol: &'p Protocol,
    /// What all filters begin with.
    prefix: String,
    /// The lines that make Wireshark's fields.
    fields: String,
    /// Each filter that there is, with what it stands for and its number.
    known: HashMap<String, (String, usize)>,
}

impl Writer<'_> {
    fn head(&self) -> String {
        let Protocol { name, about, enums, .. } = self.protocol;
        let prefix = &self.prefix;
        let about = about.as_deref().unwrap_or_default().replace(['\n', '\r'], " ");
        let mut lua = format!(
            "-- {name}: {about}\n\
             -- Written by `harness dissector`. `tshark -X lua_script:FILE -r CAPTURE -d tcp.port==PORT,{prefix}` reads a port with it.\n\n"
        );
        let (name, long) = (quoted(name.as_bytes()), quoted(format!("{name} (harness)").as_bytes()));
        let _ = write!(
            lua,
            "local name = {name}\n\
             local proto = Proto({prefix:?}, {long})\n\
             local name_field = ProtoField.string(\"{prefix}.message\", \"message\")\n\
             local malformed = ProtoExpert.new(\"{prefix}.malformed\", \"malformed\", expert.group.MALFORMED, expert.severity.ERROR)\n\
             proto.experts = {{ malformed }}\n\n"
        );
        lua.push_str("local enums = {\n");
        for known in enums {
            let mut seen = Vec::new();
            let mut rows = Vec::new();
            for (name, value) in &known.values {
                // Of several names of a number the first is shown.
                if !seen.contains(value) {
                    seen.push(*value);
                    rows.push(format!("[{value}] = {}", quoted(name.as_bytes())));
                }
            }
            let _ = writeln!(lua, "    {{ {} }},", rows.join(", "));
        }
        lua.push_str(
            "}\n\nlocal proto_fields = {}\n\
             local function field(filter, label, type, names, base, mask)\n    \
             proto_fields[#proto_fields + 1] = ProtoField.new(label, filter, ftypes[type], names, base, mask)\n\
             end\n",
        );
        lua
    }

    /// A field of Wireshark's, by its number; the same one where the filter stands for the same already.
    fn register(&mut self, path: &str, label: &str, rest: &str) -> usize {
        let definition = format!("{}, {rest}", quoted(label.as_bytes()));
        let mut filter = path.to_owned();
        for number in 2.. {
            match self.known.get(&filter) {
                None => break,
                Some((known, at)) if *known == definition => return *at,
                Some(_) => filter = format!("{path}_{number}"),
            }
        }
        let at = self.known.len() + 1;
        let _ = writeln!(self.fields, "field(\"{filter}\", {definition})");
        self.known.insert(filter, (definition, at));
        at
    }

    fn structs(&mut self) -> String {
        let mut lua = String::new();
        let protocol = self.protocol;
        for structure in &protocol.structs {
            let suffix = if protocol.message(&structure.name).is_some() { "_struct" } else { "" };
            let path = format!("{}.{}{suffix}", self.prefix, structure.name);
            let _ = write!(lua, "\n    {},", self.list(&structure.fields, &path));
        }
        lua
    }

    fn messages(&mut self) -> String {
        let mut lua = String::new();
        let protocol = self.protocol;
        for message in &protocol.messages {
            let path = format!("{}.{}", self.prefix, message.name);
            let field = self.register(&path, &message.name, "\"NONE\"");
            let direction = match message.direction {
                None => "nil",
                Some(Direction::Reply) => "\"reply\"",
                Some(Direction::Request) => "\"request\"",
            };
            let (name, fields) = (&message.name, self.list(&message.fields, &path));
            let _ = write!(
                lua,
                "\n    {{ name = \"{name}\", direction = {direction}, field = {field}, fields = {fields} }},"
            );
        }
        lua
    }

    /// Which messages a first byte can begin: lists of their numbers, and for each byte the number of its list.
    fn push_begins(&self, lua: &mut String) {
        let mut lists: Vec<&Vec<u16>> = Vec::new();
        let mut begins = Vec::new();
        for list in &self.protocol.begins {
            let at = lists.iter().position(|known| *known == list).unwrap_or(lists.len());
            if at == lists.len() {
                lists.push(list);
            }
            begins.push((at + 1).to_string());
        }
        lua.push_str("-- Which messages a first byte can begin.\nlocal lists = {\n");
        for list in lists {
            let numbers: Vec<String> = list.iter().map(|at| (at + 1).to_string()).collect();
            let _ = writeln!(lua, "    {{ {} }},", numbers.join(", "));
        }
        let _ = writeln!(lua, "}}\nlocal begins = {{ {} }}", begins.join(", "));
    }

    fn push_framing(&self, lua: &mut String) {
        let shape = self.protocol.framing.as_ref().and_then(|framing| framing.shape());
        let framing = match shape {
            None => "nil".to_owned(),
            Some(Shape::Delimiter(terminator, max)) => {
                format!("{{ kind = \"delimiter\", terminator = {}, max = {max} }}", quoted(terminator))
            }
            Some(Shape::Fixed(len)) => format!("{{ kind = \"fixed\", len = {len} }}"),
            Some(Shape::LengthPrefix { width, includes_prefix, max }) => {
                let width = Layout::named(width.name()).expect("a width is a layout by name");
                let layout = layout(width);
                format!(
                    "{{ kind = \"length_prefix\", layout = {layout}, includes_prefix = {includes_prefix}, max = {max} }}"
                )
            }
        };
        let _ = writeln!(
            lua,
            "\n-- Where a message ends in a stream; nil where it says so itself.\nlocal framing = {framing}"
        );
    }

    fn list(&mut self, fields: &Fields, path: &str) -> String {
        let mut lua = String::from("{");
        for field in fields.iter() {
            let inner = if field.name.is_empty() { path.to_owned() } else { format!("{path}.{}", field.name) };
            let _ = write!(lua, " {},", self.field(field, &field.name, &inner));
        }
        lua.push_str(" }");
        lua
    }

    fn field(&mut self, field: &Field, name: &str, path: &str) -> String {
        let mut lua = format!("{{ name = \"{name}\"");
        if let Some(len) = field.fixed_len() {
            let _ = write!(lua, ", fixed = {len}");
        }
        if let Some(condition) = &field.only_if {
            let _ = write!(lua, ", only_if = {}", condition_of(condition));
        }
        if let Some(compute) = field.compute.as_ref().and_then(computed) {
            let _ = write!(lua, ", compute = {compute}");
        }
        // What has no name is read, and not shown.
        let shown = |writer: &mut Self, rest: &str| match name {
            "" => String::new(),
            name => format!(", field = {}", writer.register(path, name, rest)),
        };
        let rest = match &field.kind {
            Kind::Align(to) => format!("kind = \"align\", to = {to}"),
            Kind::Array { of, extent } => {
                format!("kind = \"array\", extent = {}, of = {}", extent_of(extent), self.field(of, name, path))
            }
            Kind::Bytes { extent, max, text, constant } => {
                let mut rest = format!("kind = \"bytes\", extent = {}, max = {max}", extent_of(extent));
                if let Some(constant) = constant {
                    let _ = write!(rest, ", constant = {}", quoted(constant));
                }
                if let Some(text) = text {
                    rest.push_str(", text = true");
                    if let Some(pattern) = &text.pattern_text {
                        let _ = write!(rest, ", pattern = {}", quoted(pattern.as_bytes()));
                    }
                    if let Some(pad) = text.pad {
                        let _ = write!(rest, ", pad = {pad}");
                    }
                }
                rest + &shown(self, if text.is_some() { "\"STRING\"" } else { "\"BYTES\"" })
            }
            Kind::DomainName => "kind = \"domain-name\"".to_owned() + &shown(self, "\"STRING\""),
            Kind::Digits { extent, radix, number } => {
                let field = shown(self, &format!("\"INT64\", {}, base.DEC", names(number)));
                let (extent, number) = (extent_of(extent), number_of(number, None));
                let kind = "kind = \"digits\", type = \"INT64\"";
                format!("{kind}, extent = {extent}, radix = {radix}, number = {number}{field}")
            }
            Kind::Integer(integer) => self.integer(integer, field, name, path),
            Kind::Struct(structure) => {
                let field = shown(self, "\"NONE\"");
                match structure {
                    Structure::Own(fields) => {
                        format!("kind = \"struct\", fields = {}{field}", self.list(fields, path))
                    }
                    Structure::Named(at) => format!("kind = \"struct\", named = {}{field}", at + 1),
                }
            }
            Kind::Switch { on, cases, default } => {
                let field = shown(self, "\"NONE\"");
                let mut rest = format!("kind = \"switch\", on = {}{field}, cases = {{", reference(on));
                for (values, fields) in cases {
                    let values: Vec<String> = values.iter().map(|value| literal(*value)).collect();
                    let fields = self.list(fields, path);
                    let _ = write!(rest, " {{ values = {{ {} }}, fields = {fields} }},", values.join(", "));
                }
                rest.push_str(" }");
                if let Some(fields) = default {
                    let _ = write!(rest, ", default = {}", self.list(fields, path));
                }
                rest
            }
        };
        let _ = write!(lua, ", {rest} }}");
        lua
    }

    fn integer(&mut self, integer: &Integer, field: &Field, name: &str, path: &str) -> String {
        let Integer { layout: lies, number, bits, .. } = integer;
        let kind = type_of(*lies);
        let sums = matches!(field.compute, Some(Compute { how: How::Sum(_), .. }));
        let base = if bits.is_empty() && !sums { "DEC" } else { "HEX" };
        let mut rest = format!(
            "kind = \"integer\", type = \"{kind}\", layout = {}, number = {}",
            layout(*lies),
            number_of(number, Some(lies.bounds()))
        );
        if !name.is_empty() {
            // Wireshark has no hexadecimal numbers with a sign.
            let base = if kind.starts_with('I') { "DEC" } else { base };
            let field = self.register(path, name, &format!("\"{kind}\", {}, base.{base}", names(number)));
            let _ = write!(rest, ", field = {field}");
        }
        if !bits.is_empty() {
            let parts: Vec<String> = bits.iter().map(|bits| self.bits(bits, *lies, path)).collect();
            let _ = write!(rest, ", bits = {{ {} }}", parts.join(", "));
        }
        rest
    }

    fn bits(&mut self, bits: &Bits, lies: Layout, path: &str) -> String {
        let Bits { name, shift, width, number, .. } = bits;
        let number_lua = number_of(number, Some((0, bits.mask())));
        let mut lua = format!("{{ name = \"{name}\", shift = {shift}, width = {width}, number = {number_lua}");
        let _ = write!(lua, ", div = {}, mod = {}", power(*shift), power(*width));
        if !name.is_empty() {
            let path = format!("{path}.{name}");
            let kind = match lies {
                // Wireshark's masks have 32 bits.
                Layout::Fixed { len: len @ 1..=4, big, signed: false } => {
                    let mask = bits.mask() << shift;
                    let rest = match (*width, number.names) {
                        (1, None) => format!("\"BOOLEAN\", nil, {}, {mask:#x}", 8 * u32::from(len)),
                        _ => format!("\"{}\", {}, base.DEC, {mask:#x}", type_of(lies), names(number)),
                    };
                    let _ = write!(lua, ", masked = \"{}\"", if big { "add" } else { "add_le" });
                    rest
                }
                _ => {
                    lua.push_str(", type = \"UINT64\"");
                    format!("\"UINT64\", {}, base.DEC", names(number))
                }
            };
            let _ = write!(lua, ", field = {}", self.register(&path, name, &kind));
        }
        lua.push_str(" }");
        lua
    }
}

/// Wireshark's type for numbers that lie so.
fn type_of(layout: Layout) -> &'static str {
    match layout {
        Layout::Fixed { len, signed, .. } => match (len, signed) {
            (1, false) => "UINT8",
            (1, true) => "INT8",
            (2, false) => "UINT16",
            (2, true) => "INT16",
            (3, false) => "UINT24",
            (3, true) => "INT24",
            (4, false) => "UINT32",
            (4, true) => "INT32",
            (_, false) => "UINT64",
            (_, true) => "INT64",
        },
        Layout::Leb128 | Layout::Quic => "UINT64",
        Layout::Mqtt => "UINT32",
    }
}

fn layout(layout: Layout) -> String {
    match layout {
        Layout::Fixed { len, big, signed } => {
            format!("{{ kind = \"fixed\", len = {len}, big = {big}, signed = {signed} }}")
        }
        Layout::Leb128 => "{ kind = \"leb128\" }".into(),
        Layout::Mqtt => "{ kind = \"mqtt\" }".into(),
        Layout::Quic => "{ kind = \"quic\" }".into(),
    }
}

fn names(number: &Number) -> String {
    number.names.map_or_else(|| "nil".into(), |at| format!("enums[{}]", at + 1))
}

/// What a number may be; bounds that its layout has anyway are left out.
fn number_of(number: &Number, bounds: Option<(i128, i128)>) -> String {
    let mut parts = Vec::new();
    if let Some(constant) = number.constant {
        parts.push(format!("constant = {}", literal(constant)));
    }
    if bounds.is_none_or(|(min, _)| number.min > min) {
        parts.push(format!("min = {}", literal(number.min)));
    }
    if bounds.is_none_or(|(_, max)| number.max < max) {
        parts.push(format!("max = {}", literal(number.max)));
    }
    if number.names.is_some() {
        parts.push(format!("names = {}", names(number)));
    }
    format!("{{ {} }}", parts.join(", "))
}

/// A number as Lua has it: as it is where that is exact, in 64 bits, or as near as can be.
fn literal(value: i128) -> String {
    if value.abs() < EXACT_MAX {
        value.to_string()
    } else if let Ok(value) = i64::try_from(value) {
        format!("Int64({}, {})", value as u32, (value >> 32) as u32)
    } else if let Ok(value) = u64::try_from(value) {
        format!("UInt64({}, {})", value as u32, value >> 32)
    } else {
        format!("{:e}", value as f64)
    }
}

fn power(bits: u32) -> String {
    if bits < 63 { (1_u64 << bits).to_string() } else { format!("2 ^ {bits}") }
}

fn reference(reference: &Reference) -> String {
    let path: Vec<String> = reference.path.iter().map(|at| (at + 1).to_string()).collect();
    let bits = reference.bits.map(|at| format!(", bits = {}", at + 1)).unwrap_or_default();
    let text = quoted(reference.text.as_bytes());
    format!("{{ up = {}, path = {{ {} }}{bits}, text = {text} }}", reference.up, path.join(", "))
}

fn condition_of(expression: &Expression) -> String {
    match expression {
        Expression::And(a, b) => format!("{{ op = \"and\", {}, {} }}", condition_of(a), condition_of(b)),
        Expression::Compare(of, comparison, with) => {
            let sign = match comparison {
                Comparison::Equal => "==",
                Comparison::Greater => ">",
                Comparison::GreaterEqual => ">=",
                Comparison::Less => "<",
                Comparison::LessEqual => "<=",
                Comparison::Mask => "&",
                Comparison::NotEqual => "!=",
            };
            format!("{{ op = \"{sign}\", of = {}, with = {} }}", reference(of), literal(*with))
        }
        Expression::Not(inner) => format!("{{ op = \"not\", {} }}", condition_of(inner)),
        Expression::Or(a, b) => format!("{{ op = \"or\", {}, {} }}", condition_of(a), condition_of(b)),
    }
}

fn extent_of(extent: &Extent) -> String {
    match extent {
        Extent::Count(of, plus) => format!("{{ by = \"count\", of = {}, plus = {plus} }}", reference(of)),
        Extent::Field(of, plus) => format!("{{ by = \"field\", of = {}, plus = {plus} }}", reference(of)),
        Extent::Fixed(size) => format!("{{ by = \"fixed\", size = {size} }}"),
        Extent::Prefix(lies) => format!("{{ by = \"prefix\", layout = {} }}", layout(*lies)),
        Extent::Rest => "{ by = \"rest\" }".into(),
        Extent::Until(delimiter) => format!("{{ by = \"until\", delimiter = {} }}", quoted(delimiter)),
    }
}

/// What is computed, where the reader of the tables can verify it.
fn computed(compute: &Compute) -> Option<String> {
    let how = match compute.how {
        How::Count => "count",
        How::Length => "length",
        How::Offset => "offset",
        How::Sum(sum) if sum.is_number() => SUMS.iter().find(|(_, known)| *known == sum).map(|(name, _)| *name)?,
        How::Sum(_) => return None,
    };
    let Compute { from, to, plus, text, .. } = compute;
    let text = quoted(text.as_bytes());
    Some(format!("{{ how = \"{how}\", from = {}, to = {}, plus = {plus}, text = {text} }}", from + 1, to + 1))
}

/// Bytes as a string of Lua's.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\{byte:03}");
            }
        }
    }
    text.push('"');
    text
}
