//! `harness serve`: starts a reference server.
//!
//! The first line on stdout is where it listens; what it has to say goes to stderr. SIGTERM and SIGINT end it in
//! good order. What the servers do is in the `targets` crate.

use std::fmt::{self, Write as _};
use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use targets::{
    Address, AddressError, LIMITS, Limits, Log, Note, ServeError, ServerConfig, Setting, SettingError, TARGETS, Target,
    Transport,
};
use tokio::signal::unix::{SignalKind, signal};

/// What `harness serve` is given.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = after_long_help())]
pub struct ServeArgs {
    /// Which server: `harness list targets` shows them all
    pub name: String,
    /// Where; without it, a free port of 127.0.0.1, over TCP where the server speaks it
    ///
    /// `tcp://HOST:PORT`, `tls://HOST:PORT`, `udp://HOST:PORT`, `unix://PATH` or `unixgram://PATH`; port 0 is any that is free.
    #[arg(long, value_name = "URL")]
    pub listen: Option<String>,
    /// Change one of the server's settings; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Change a limit; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub limit: Vec<(String, String)>,
    /// On `tls://`: the certificate chain that it shows, as PEM; without it, one of an authority made for this server
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<String>,
    /// On `tls://`: the key of that certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<String>,
    /// On `tls://`: ask clients for a certificate that the authorities in this PEM file have signed
    #[arg(long, value_name = "FILE")]
    pub tls_client_ca: Option<String>,
    /// How many threads serve connections; over TLS and datagrams it is always one
    #[arg(long, value_name = "N", default_value = "1")]
    pub threads: NonZeroUsize,
    /// Allow an address that other machines can reach
    #[arg(long, env = "HARNESS_ALLOW_REMOTE")]
    pub allow_remote: bool,
}

/// More threads than this are not started.
const THREADS_MAX: NonZeroUsize = NonZeroUsize::new(64).expect("it is not 0");

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected `name=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The limits and settings, from their tables.
fn after_long_help() -> String {
    let mut help = String::new();
    let settings = TARGETS.iter().map(|target| (format!("Settings of {}", target.name), target.settings));
    for (title, rows) in [("Limits".to_owned(), LIMITS)].into_iter().chain(settings) {
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(help, "{title}:"); // a string takes everything
        for Setting { name, default, about } in rows {
            let _ = writeln!(help, "  {:<22}{about}", format!("{name}={default}"));
        }
        help.push('\n');
    }
    help.trim_end().to_owned()
}

/// Serves until it is told to stop, and gives the exit code.
pub fn serve(args: &ServeArgs) -> u8 {
    match prepare(args).and_then(|prepared| run(&prepared)) {
        Ok(()) => 0,
        Err(error) => {
            let mut stderr = io::stderr().lock();
            let _ = writeln!(stderr, "error: {error}"); // where stderr is closed, nobody wants to know
            if let Some(hint) = error.hint() {
                let _ = writeln!(stderr, "hint: {hint}");
            }
            error.exit_code()
        }
    }
}

/// The arguments, understood.
#[derive(Debug)]
struct Prepared {
    target: &'static Target,
    address: Address,
    settings: Vec<(String, String)>,
    limits: Limits,
    threads: NonZeroUsize,
    tls: Option<Arc<ServerConfig>>,
    /// The authority that was made for it.
    ca: Option<String>,
    /// Whether nobody said where it is to listen.
    is_chosen_here: bool,
}

fn prepare(args: &ServeArgs) -> Result<Prepared, Error> {
    let target = targets::find(&args.name).ok_or_else(|| Error::UnknownTarget { name: args.name.clone() })?;
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let address = match &args.listen {
        Some(url) => url.parse().map_err(Error::Address)?,
        None if target.transports.contains(&Transport::Tcp) => Address::Tcp(any_port),
        None => Address::Udp(any_port),
    };
    if !(address.is_local() || args.allow_remote) {
        return Err(Error::Remote { address });
    }
    let mut limits = Limits::default();
    for (name, value) in &args.limit {
        limits.set(name, value).map_err(Error::Limit)?;
    }
    let (tls, ca) = match &address {
        Address::Tls(_) => {
            let identity = args.tls_cert.as_deref().zip(args.tls_key.as_deref());
            let made = crate::runner::server_config(identity, args.tls_client_ca.as_deref());
            let (config, ca) = made.map_err(|why| Error::Tls { why })?;
            (Some(config), ca)
        }
        _ => (None, None),
    };
    Ok(Prepared {
        target,
        address,
        settings: args.set.clone(),
        limits,
        threads: args.threads.min(THREADS_MAX),
        tls,
        ca,
        is_chosen_here: args.listen.is_none(),
    })
}

fn run(prepared: &Prepared) -> Result<(), Error> {
    // Each connection is a descriptor. Where the limit cannot be raised, what there is has to do.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::System)?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => return Err(Error::System(error)),
        };
        let stopped = async {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
        };
        let log: Log = Arc::new(|note| {
            // In one piece: stderr has no buffer, and who reads it would be woken for each part of the line.
            let _ = io::stderr().write_all(format!("{note}\n").as_bytes());
            if let Note::EndsProcess { end } = note {
                end.carry_out();
            }
        });
        serve_until(stopped, prepared, log, &mut io::stdout()).await
    })
}

/// Serves until `stopped`, or until the server has ended on its own.
async fn serve_until(
    stopped: impl Future<Output = ()>,
    prepared: &Prepared,
    log: Log,
    stdout: &mut impl Write,
) -> Result<(), Error> {
    let Prepared { target, address, settings, limits, threads, tls, ca, is_chosen_here } = prepared;
    let served = match tls {
        Some(tls) => targets::serve_tls(target, address, settings, *limits, log, Some(Arc::clone(tls))),
        None => targets::serve_raw(target, address, settings, *limits, log, *threads),
    };
    let mut handle = served.map_err(Error::Serve)?;
    if let (true, Address::Tcp(address)) =
        (*is_chosen_here && target.transports.contains(&Transport::Udp), handle.address())
    {
        let _ = writeln!(io::stderr(), "over TCP only; `--listen udp://{address}` answers datagrams");
    }
    let ca = match ca {
        Some(pem) => Some(CaFile::write(pem).map_err(Error::System)?),
        None => None,
    };
    if let Some(CaFile(path)) = &ca {
        let _ = writeln!(io::stderr(), "clients have to trust the authority in {}", path.display());
    }
    writeln!(stdout, "{}", handle.address()).and_then(|()| stdout.flush()).map_err(Error::System)?;
    tokio::select! {
        () = stopped => handle.stop(),
        () = handle.ended() => (),
    }
    handle.ended().await;
    Ok(())
}

/// The certificate of the authority that was made for a server, for as long as it serves.
struct CaFile(std::path::PathBuf);

impl CaFile {
    #[expect(clippy::disallowed_methods, reason = "clients are told of a file")]
    fn write(pem: &str) -> io::Result<CaFile> {
        let path = std::env::temp_dir().join(format!("harness-ca-{}.pem", std::process::id()));
        std::fs::write(&path, pem)?;
        Ok(CaFile(path))
    }
}

impl Drop for CaFile {
    #[expect(clippy::disallowed_methods, reason = "the file goes with its server")]
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Why nothing is served.
#[derive(Debug)]
enum Error {
    /// `--listen` is no address.
    Address(AddressError),
    /// A limit is wrong.
    Limit(SettingError),
    /// The address is open to other machines.
    Remote { address: Address },
    /// The target cannot be started.
    Serve(ServeError),
    /// The system refuses what every server needs: a runtime, signals, stdout.
    System(io::Error),
    /// The certificates cannot be used.
    Tls { why: String },
    /// There is no such target.
    UnknownTarget { name: String },
}

impl Error {
    fn exit_code(&self) -> u8 {
        match self {
            Error::Serve(ServeError::Bind { .. }) | Error::System(_) => 5,
            _ => 2,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Limit(SettingError::Unknown { name, known })
            | Error::Serve(ServeError::Setting(SettingError::Unknown { name, known })) => {
                Some(format!("did you mean `{}`?", nearest(name, known.iter().copied())?))
            }
            Error::Remote { .. } => Some("`--allow-remote` allows it".to_owned()),
            Error::UnknownTarget { name } => {
                let all = "`harness list targets` shows them all";
                Some(match nearest(name, TARGETS.iter().map(|target| target.name)) {
                    Some(nearest) => format!("did you mean `{nearest}`? {all}"),
                    None => all.to_owned(),
                })
            }
            _ => None,
        }
    }
}

/// The name that was probably meant.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|known| (strsim::jaro_winkler(name, known), known)).filter(|(score, _)| *score > 0.75);
    near.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Address(error) => write!(f, "--listen: {error}"),
            Error::Limit(error) => write!(f, "--limit: {error}"),
            Error::Remote { address } => {
                write!(f, "--listen: expected an address of this machine only, got `{address}`")
            }
            Error::Serve(ServeError::Setting(error)) => write!(f, "--set: {error}"),
            Error::Serve(error) => error.fmt(f),
            Error::System(error) => error.fmt(f),
            Error::Tls { why } => f.write_str(why),
            Error::UnknownTarget { name } => write!(f, "unknown target `{name}`"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a client from outside")]
mod tests {
    use clap::Parser;
    use std::io::{BufRead, BufReader, Read};
    use std::net::TcpStream;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn parse(line: &str) -> ServeArgs {
        Cli::try_parse_from(["serve"].into_iter().chain(line.split(' '))).unwrap().serve
    }

    fn silent() -> Log {
        Arc::new(|_| ())
    }

    #[track_caller]
    fn check(line: &str, exit_code: u8, message: &str, hint: Option<&str>) {
        let error = match prepare(&parse(line)) {
            Ok(prepared) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let mut stdout = Vec::new();
                runtime.block_on(serve_until(async {}, &prepared, silent(), &mut stdout)).unwrap_err()
            }
            Err(error) => error,
        };
        assert_eq!(
            (error.exit_code(), error.to_string().as_str(), error.hint().as_deref()),
            (exit_code, message, hint)
        );
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        let hint = "did you mean `tcp-echo`? `harness list targets` shows them all";
        check("tpc-echo", 2, "unknown target `tpc-echo`", Some(hint));
        check("zzz", 2, "unknown target `zzz`", Some("`harness list targets` shows them all"));
    }

    #[test]
    fn a_wrong_setting_or_limit_is_named_with_its_option() {
        let message = "--set: expected one of `bytes`, `keys`, got `key`";
        check("kv --set key=1", 2, message, Some("did you mean `keys`?"));
        check("discard --set key=1", 2, "--set: expected no settings, got `key`", None);
        let message = "--set: `keys`: expected a number like `4096` or `64KiB`, got `many`";
        check("kv --set keys=many", 2, message, None);
        let known = "`connections`, `frame`, `grace`, `idle`, `linger`, `output`";
        let message = format!("--limit: expected one of {known}, got `idel`");
        check("kv --limit idel=5s", 2, &message, Some("did you mean `idle`?"));
        let message = "--limit: `idle`: expected a duration like `250ms` or `60s`, or `0`, got `5`";
        check("kv --limit idle=5", 2, message, None);
    }

    #[test]
    fn a_wrong_address_is_refused() {
        let message = "--listen: expected `tcp`, `tls`, `udp`, `unix` or `unixgram` before `://`, got `http`";
        check("kv --listen http://127.0.0.1:0", 2, message, None);
        check("kv --listen udp://127.0.0.1:0", 2, "`kv`: expected one of `tcp`, `unix`, got `udp`", None);
    }

    #[test]
    fn an_address_that_others_can_reach_needs_leave() {
        let message = "--listen: expected an address of this machine only, got `tcp://0.0.0.0:0`";
        check("kv --listen tcp://0.0.0.0:0", 2, message, Some("`--allow-remote` allows it"));
        assert!(prepare(&parse("kv --listen tcp://0.0.0.0:0 --allow-remote")).is_ok());
    }

    #[test]
    fn an_address_that_cannot_be_bound_is_a_target_that_did_not_start() {
        let message = "cannot listen on `unix:///nowhere/s`: No such file or directory (os error 2)";
        check("kv --listen unix:///nowhere/s", 5, message, None);
    }

    #[test]
    fn without_an_address_it_is_a_free_port_of_this_machine() {
        assert_eq!(prepare(&parse("kv")).unwrap().address.to_string(), "tcp://127.0.0.1:0");
        assert_eq!(prepare(&parse("udp-echo")).unwrap().address.to_string(), "udp://127.0.0.1:0");
    }

    #[test]
    fn the_first_line_says_where_and_the_server_serves_until_it_is_stopped() {
        let (stdout, their_stdout) = std::os::unix::net::UnixStream::pair().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let prepared = prepare(&parse("greeting")).unwrap();
            let stopped = async { drop(stopped.await) };
            let mut stdout = their_stdout;
            runtime.block_on(serve_until(stopped, &prepared, silent(), &mut stdout))
        });
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let mut stream = TcpStream::connect(line.trim_end().strip_prefix("tcp://").unwrap()).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "Hello, client!");
        drop(stream);
        stop.send(()).unwrap();
        server.join().unwrap().unwrap();
    }

    #[test]
    fn the_help_shows_every_limit_and_setting() {
        let help = after_long_help();
        assert!(help.starts_with("Limits:\n  connections=4096      open connections; one more is closed at once\n"));
        assert!(help.contains("\nSettings of kv:\n  bytes=16MiB           how many"));
    }
}
