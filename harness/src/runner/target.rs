//! Targets of a file or a case: started, named by variables, watched, ended.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use regex_automata::meta::Regex;
use tokio::sync::watch;

use super::control::{Again, Replaceable};
use super::process::{self, Address, Exit, Guard, Ports, Process};
use super::record::Names;
use super::resting::at_rest;
use super::socket::in_folder;
use super::tls::{Authority, Setup, Side};
use crate::event::{EventKind, Failure, FailureKind, OutputLine};
use crate::scenario::{Family, Never, ReadyWhen, Target, TargetKind, Tls, Unwanted};
use crate::template::{Template, Variables};
use crate::url::Url;

/// How many of a target's last lines are told.
const TAIL_LINES: usize = 20;

/// How many calls of a process that has crashed are told.
const CALLS_MAX: usize = 12;

/// How long a process may take to end after it closed a connection, for that to be told as one story.
const DYING: Duration = Duration::from_millis(500);

/// What starting a target needs from the run.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) ports: RefCell<Ports>,
    pub(super) guard: Guard,
    pub(super) allow_remote: bool,
    /// `--target`: a name, or none for the only one, and where it is instead.
    pub(super) overrides: Vec<(Option<String>, Url)>,
    /// The run's folder, where outputs are kept.
    pub(super) folder: PathBuf,
    /// The names of the files that they are kept in.
    pub(super) logs: RefCell<Names>,
    /// What the environment of processes has in addition.
    pub(super) env: Vec<(String, String)>,
    /// Whether reference servers run in processes of their own, and outputs are kept in memory alone.
    pub(super) apart: bool,
    /// Who signs what the run's servers and clients show, once somebody has asked.
    authority: RefCell<Option<Rc<Authority>>>,
}

impl Setting {
    pub(super) fn new(
        ports: Ports,
        guard: Guard,
        allow_remote: bool,
        overrides: Vec<(Option<String>, Url)>,
        folder: PathBuf,
    ) -> Setting {
        let (logs, authority) = (RefCell::default(), RefCell::default());
        let (ports, env) = (RefCell::new(ports), Vec::new());
        Setting { ports, guard, allow_remote, overrides, folder, logs, env, apart: false, authority }
    }

    /// The run's own authority.
    pub(super) fn authority(&self) -> Result<Rc<Authority>, String> {
        let mut authority = self.authority.borrow_mut();
        if authority.is_none() {
            *authority =
                Some(Rc::new(Authority::new().map_err(|error| format!("no certificates can be made: {error}"))?));
        }
        Ok(Rc::clone(authority.as_ref().expect("it was just made")))
    }
}

/// Whose targets are started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    /// The scenario's name.
    pub(super) scenario: &'a str,
    /// The case's, where they are its own.
    pub(super) case: Option<&'a str>,
    /// The folder of the scenario's file.
    pub(super) folder: &'a Path,
    /// Which loopback they are on, if that matters.
    pub(super) family: Option<Family>,
}

/// A target that is up.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) name: String,
    /// Where it serves; `None` for a client program.
    pub(super) address: Option<Address>,
    pub(super) kind: RunningKind,
}

#[derive(Debug)]
pub(super) enum RunningKind {
    /// `None` while a step has it stopped.
    Builtin {
        handle: RefCell<Option<targets::Handle>>,
        again: Again,
    },
    Elsewhere,
    Process {
        process: Replaceable,
        command: Box<process::Command>,
        /// How often a step has started it again.
        starts: watch::Sender<u32>,
    },
}

/// All targets of a file, or of a case.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) running: Vec<Running>,
    pub(super) variables: Variables,
}

/// Starts `targets` in their order. What was started before one that fails is ended.
pub(super) async fn start(
    targets: &[&Target],
    known: &Variables,
    owner: Owner<'_>,
    setting: &Setting,
) -> Result<Group, Box<Failure>> {
    let mut group = Group { running: Vec::new(), variables: known.clone() };
    for target in targets {
        let port = format!("{}.port", target.name);
        if target.kind.templates().into_iter().flat_map(Template::variables).any(|name| name == port) {
            let picked = setting.ports.borrow_mut().pick();
            let picked = picked.map_err(|error| failure(target, format!("there is no free port: {error}")))?;
            group.variables.insert(port.into(), picked.to_string().into());
        }
        let dir = format!("{}.dir", target.name);
        if target.kind.templates().into_iter().flat_map(Template::variables).any(|name| name == dir) {
            let made = work_folder(owner, &target.name, setting);
            let made = made.map_err(|error| failure(target, format!("there is no folder for it: {error}")))?;
            group.variables.insert(dir.into(), made.to_string_lossy().into_owned().into());
        }
    }
    for target in targets {
        let running = match start_one(target, &group.variables, owner, setting).await {
            Ok(running) => running,
            Err(failure) => {
                group.stop().await;
                return Err(failure);
            }
        };
        if let Some(address) = &running.address {
            set_address(&mut group.variables, &target.name, address);
        }
        group.running.push(running);
    }
    Ok(group)
}

/// A new folder that a target has for itself, below the run's. Everybody may write there: a server that is started by the
/// superuser may be somebody else soon.
fn work_folder(owner: Owner<'_>, target: &str, setting: &Setting) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let root = std::path::absolute(&setting.folder)?;
    // What an earlier run has left in the same `--out` is not this one's, and may be in its way.
    let path = loop {
        let path = root.join(setting.logs.borrow_mut().pick_work(owner.scenario, owner.case, target));
        std::fs::create_dir_all(path.parent().expect("it is below the run's"))?;
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => break made.map(|()| path)?,
        }
    };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777))?;
    Ok(path)
}

/// Sets the variables that tell where a target is.
pub(super) fn set_address(variables: &mut Variables, target: &str, address: &Address) {
    let url = address.to_string();
    let bare = url.split_once("://").map_or(url.as_str(), |(_, bare)| bare).to_owned();
    let mut set = |part: &str, value: String| variables.insert(format!("{target}.{part}").into(), value.into());
    if let Some(port) = address.port() {
        set("port", port.to_string());
    }
    set("address", bare);
    set("url", url);
}

async fn start_one(
    target: &Target,
    variables: &Variables,
    owner: Owner<'_>,
    setting: &Setting,
) -> Result<Running, Box<Failure>> {
    let name = target.name.clone();
    let folder = owner.folder;
    let instead = setting.overrides.iter().find(|(of, _)| of.as_deref().is_none_or(|of| of == target.name));
    if let Some((_, url)) = instead {
        let address = url.resolve(setting.allow_remote).await.map_err(|error| failure(target, error.to_string()))?;
        return Ok(Running { name, address: Some(address), kind: RunningKind::Elsewhere });
    }
    let fill = |template: &Template| filled(target, template, variables);
    match &target.kind {
        TargetKind::Address(template) => {
            let url = fill(template)?;
            let url = owner.family.map_or(url.clone(), |family| family.apply(&url));
            let address = resolve(target, &url, folder, setting).await?;
            Ok(Running { name, address: Some(address), kind: RunningKind::Elsewhere })
        }
        TargetKind::Builtin { name: builtin, listen, settings, tls } => {
            let builtin = targets::find(builtin).expect("the scenario was checked");
            let listen = match listen {
                Some(template) => fill(template)?,
                None if builtin.transports.contains(&targets::Transport::Tcp) => "tcp://127.0.0.1:0".into(),
                None => "udp://127.0.0.1:0".into(),
            };
            let listen = owner.family.map_or(listen.clone(), |family| family.apply(&listen));
            let settings = settings.iter().map(|(name, value)| Ok((name.clone(), fill(value)?)));
            let settings = settings.collect::<Result<Vec<_>, Box<Failure>>>()?;
            // What shows a certificate of its own choice is served here, where that is known.
            let apart = setting.apart && (tls.is_none() || !listen.starts_with("tls://"));
            if apart || target.limits.is_some() || !target.never.is_empty() || builtin.ends_process {
                return serve_apart(target, builtin, &listen, &settings, owner, setting).await;
            }
            let config = match listen.starts_with("tls://") {
                true => Some(server_tls(target, tls.as_deref(), variables, setting)?),
                false => None,
            };
            let handle = serve(target, builtin, &listen, &settings, config.as_ref(), folder, setting)?;
            let address = match handle.address() {
                targets::Address::Tcp(address) | targets::Address::Tls(address) => Address::Tcp(*address),
                targets::Address::Udp(address) => Address::Udp(*address),
                targets::Address::Unix(path) => Address::Unix(path.clone()),
                targets::Address::Unixgram(path) => Address::Unixgram(path.clone()),
            };
            let again = Again { builtin, address: handle.address().clone(), settings, tls: config };
            let kind = RunningKind::Builtin { handle: RefCell::new(Some(handle)), again };
            Ok(Running { name, address: Some(address), kind })
        }
        TargetKind::Command(spec) => {
            let cwd = if spec.cwd.as_os_str().is_empty() { folder } else { &spec.cwd };
            let mut variables = variables.clone();
            let address = match &spec.address {
                Some(address) => {
                    let address = resolve(target, &fill(address)?, cwd, setting).await?;
                    set_address(&mut variables, &target.name, &address);
                    Some(address)
                }
                None => None,
            };
            let fill = |template: &Template| filled(target, template, &variables);
            let mut argv: Vec<String> = spec.argv.iter().map(&fill).collect::<Result<_, _>>()?;
            find_program(&mut argv, folder);
            let regex = |text: &str| Regex::new(text).expect("the scenario was checked");
            let ready = match &spec.ready {
                ReadyWhen::Command(argv) => {
                    let mut argv: Vec<String> = argv.iter().map(&fill).collect::<Result<_, _>>()?;
                    find_program(&mut argv, folder);
                    process::Ready::Command(argv)
                }
                ReadyWhen::Connect => process::Ready::Connect,
                ReadyWhen::Delay(delay) => process::Ready::Delay(*delay),
                ReadyWhen::Listening => process::Ready::Listening,
                ReadyWhen::Stderr(text) => process::Ready::Stderr(regex(text)),
                ReadyWhen::Stdout(text) => process::Ready::Stdout(regex(text)),
            };
            let mut env = Vec::new();
            for (name, value) in &spec.env {
                env.push((name.clone(), fill(value)?));
            }
            let signal = process::Signal::parse(&spec.stop.0).expect("the scenario was checked");
            let command = process::Command {
                argv,
                env,
                cwd: Some(cwd.to_path_buf()).filter(|cwd| !cwd.as_os_str().is_empty()),
                stop: process::Stop { signal, within: spec.stop.1 },
                expect_exit: spec.expect_exit,
                address,
                ready,
                ready_within: spec.ready_within,
                follow: None,
                logs: logs(target, owner, setting),
            };
            start_process(target, command, setting).await
        }
    }
}

/// A program with a slash is found from the folder of the file that names it, wherever it then runs.
pub(super) fn find_program(argv: &mut [String], folder: &Path) {
    let Some(program) = argv.first_mut().filter(|program| program.contains('/')) else { return };
    if Path::new(&*program).is_relative() {
        let path = folder.join(&*program);
        *program = std::path::absolute(&path).unwrap_or(path).to_string_lossy().into_owned();
    }
}

/// Starts a reference server in a process of its own, where what it uses is to be seen.
async fn serve_apart(
    target: &Target,
    builtin: &targets::Target,
    listen: &str,
    settings: &[(String, String)],
    owner: Owner<'_>,
    setting: &Setting,
) -> Result<Running, Box<Failure>> {
    let mut address = resolve(target, listen, owner.folder, setting).await?;
    if let Address::Tcp(socket) | Address::Udp(socket) = &mut address
        && socket.port() == 0
    {
        let picked = setting.ports.borrow_mut().pick();
        socket.set_port(picked.map_err(|error| failure(target, format!("there is no free port: {error}")))?);
    }
    let program = setting.guard.program().to_string_lossy().into_owned();
    let url =
        if listen.starts_with("tls://") { address.to_string().replacen("tcp", "tls", 1) } else { address.to_string() };
    let mut argv = vec![program, "serve".into(), builtin.name.into(), "--listen".into(), url];
    if listen.starts_with("tls://") {
        let authority = setting.authority().map_err(|why| failure(target, why))?;
        let written = authority.write(&setting.folder.join("tls"));
        let written = written.map_err(|error| failure(target, format!("no certificates can be written: {error}")))?;
        for (name, path) in written {
            let option = match name {
                "tls.cert" => "--tls-cert",
                "tls.key" => "--tls-key",
                _ => continue,
            };
            argv.extend([option.into(), path.to_string_lossy().into_owned()]);
        }
    }
    settings.iter().for_each(|(name, value)| argv.extend(["--set".into(), format!("{name}={value}")]));
    let mut command = process::Command::new(argv);
    command.address = Some(address);
    // It says where it serves as soon as it does.
    command.ready = process::Ready::Stdout(Regex::new("^[a-z]+:").expect("it is a pattern"));
    command.logs = logs(target, owner, setting);
    start_process(target, command, setting).await
}

/// Where the output of a process is kept.
fn logs(target: &Target, owner: Owner<'_>, setting: &Setting) -> Option<PathBuf> {
    if setting.apart {
        return None;
    }
    let logs = setting.logs.borrow_mut().pick_log(owner.scenario, owner.case, &target.name);
    let logs = setting.folder.join(logs);
    // Where it cannot be made, the log cannot be either, and that is what is told.
    let _ = std::fs::create_dir_all(logs.parent().expect("it is below a folder"));
    Some(logs)
}

async fn start_process(
    target: &Target,
    mut command: process::Command,
    setting: &Setting,
) -> Result<Running, Box<Failure>> {
    command.env.extend_from_slice(&setting.env);
    let crash = target.never.iter().any(|never| matches!(never.what, Unwanted::Crash));
    command.follow = crash.then_some(process::Follow::Processes);
    let (name, address) = (target.name.clone(), command.address.clone());
    match process::start(&command, &setting.guard).await {
        Ok(process) => {
            let (process, starts) = (RefCell::new(Rc::new(process)), watch::Sender::new(0));
            let kind = RunningKind::Process { process, command: Box::new(command), starts };
            Ok(Running { name, address, kind })
        }
        Err(error) => {
            let mut failed =
                failure(target, format!("the target `{}` did not start: {}", target.name, explain(&error)));
            failed.hint = error.hint().map(str::to_owned);
            let words: Vec<_> = command.argv.iter().map(|word| crate::report::text::shell_word(word)).collect();
            failed.notes.push(format!("command: {}", words.join(" ")));
            let lines = error.output().iter().rev().take(TAIL_LINES).rev();
            failed.notes.extend(lines.map(|line| format!("{}: {}", stream(line), line.text)));
            Err(failed)
        }
    }
}

fn filled(target: &Target, template: &Template, variables: &Variables) -> Result<String, Box<Failure>> {
    template.fill_text(variables).map_err(|unset| failure(target, format!("the variable `{}` has no value", unset.0)))
}

/// What a reference server on `tls://` needs.
fn server_tls(
    target: &Target,
    tls: Option<&Tls>,
    variables: &Variables,
    setting: &Setting,
) -> Result<Arc<targets::ServerConfig>, Box<Failure>> {
    let authority = setting.authority().map_err(|why| failure(target, why))?;
    let plain = Tls::plain(target.place.clone(), PathBuf::new());
    let setup = Setup::new(tls.unwrap_or(&plain), Side::Server, &authority, variables)?;
    Ok(setup.server().expect("it is a server's"))
}

/// Starts a reference server. For port 0 the run picks one: a port of the system's would be given to somebody else as soon
/// as the server is gone, and a case that expects nobody there would meet a stranger.
fn serve(
    target: &Target,
    builtin: &targets::Target,
    listen: &str,
    settings: &[(String, String)],
    tls: Option<&Arc<targets::ServerConfig>>,
    folder: &Path,
    setting: &Setting,
) -> Result<targets::Handle, Box<Failure>> {
    use targets::{Address, ServeError};
    let mut listen: Address = listen.parse().map_err(|error| failure(target, format!("{error}")))?;
    match &mut listen {
        Address::Unix(path) | Address::Unixgram(path) => *path = folder.join(&*path),
        Address::Tcp(_) | Address::Tls(_) | Address::Udp(_) => {}
    }
    if !listen.is_local() && !setting.allow_remote {
        let message = format!("`{listen}` is not on this machine, and `--allow-remote` is not given");
        return Err(failure(target, message));
    }
    let any = listen.socket().is_some_and(|socket| socket.port() == 0);
    for tries_left in (0..PICKS_MAX).rev() {
        if let (true, Address::Tcp(socket) | Address::Tls(socket) | Address::Udp(socket)) = (any, &mut listen) {
            let picked = setting.ports.borrow_mut().pick();
            socket.set_port(picked.map_err(|error| failure(target, format!("there is no free port: {error}")))?);
        }
        let served = targets::serve_tls(
            builtin,
            &listen,
            settings,
            targets::Limits::default(),
            Arc::new(|_: &targets::Note| {}),
            tls.cloned(),
        );
        match served {
            // Somebody was faster.
            Err(ServeError::Bind { error, .. })
                if any && tries_left > 0 && error.kind() == std::io::ErrorKind::AddrInUse => {}
            served => return served.map_err(|error| failure(target, error.to_string())),
        }
    }
    unreachable!("the last try returns")
}

/// How many ports are tried where others take them in the same moment.
const PICKS_MAX: u32 = 8;

/// An error with what caused it.
pub(super) fn explain(error: &process::StartError) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn stream(line: &OutputLine) -> &'static str {
    if line.stderr { "stderr" } else { "stdout" }
}

async fn resolve(target: &Target, url: &str, folder: &Path, setting: &Setting) -> Result<Address, Box<Failure>> {
    let url = Url::parse(url).map_err(|error| failure(target, error.to_string()))?;
    let address = url.resolve(setting.allow_remote).await.map_err(|error| failure(target, error.to_string()))?;
    Ok(in_folder(address, folder))
}

/// A target that cannot be used.
fn failure(target: &Target, message: String) -> Box<Failure> {
    Box::new(Failure::new(FailureKind::Refused, message, target.place.clone()))
}

impl Running {
    /// Its process, as it is now: a step may start another.
    pub(super) fn process(&self) -> Option<Rc<Process>> {
        match &self.kind {
            RunningKind::Process { process, .. } => Some(Rc::clone(&process.borrow())),
            _ => None,
        }
    }

    /// Waits until its process has crashed; for ever, where that does not happen.
    pub(super) async fn crash(&self) -> Exit {
        let RunningKind::Process { starts, .. } = &self.kind else { return std::future::pending().await };
        let mut starts = starts.subscribe();
        loop {
            let seen = *starts.borrow_and_update();
            let process = self.process().expect("it is one");
            let exit = process.wait_exit().await;
            if process.is_crash(exit) {
                return exit;
            }
            // It has ended in order; the steps tell whether that was right, and may start it again.
            if starts.wait_for(|starts| *starts != seen).await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// The event that tells of it.
    pub(super) fn started(&self, scenario: &str) -> EventKind {
        EventKind::TargetStarted {
            scenario: scenario.into(),
            target: self.name.clone(),
            url: self.address.as_ref().map_or_else(String::new, Address::to_string),
            pid: self.process().map(|process| process.pid()),
        }
    }

    /// The event that tells of its end.
    pub(super) fn exited(&self, scenario: &str, exit: Exit) -> EventKind {
        let process = self.process().expect("only a process exits");
        EventKind::TargetExited {
            scenario: scenario.into(),
            target: self.name.clone(),
            status: exit.to_string(),
            crash: process.is_crash(exit),
            output: process.tail(TAIL_LINES),
        }
    }

    /// Whether it was started by this run.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(self.kind, RunningKind::Elsewhere)
    }

    /// Its end, if it has ended, or is just ending: a process that dies closes its sockets a moment before anybody hears.
    /// Where a connection was `lost` there is more reason to wait: programs in Python or Java die slowly.
    /// Where rest `counts`, one that rests is not called dying.
    pub(super) async fn end(&self, lost: bool, counts: bool) -> Option<Exit> {
        let process = self.process()?;
        if lost && process.exited().is_none() {
            tokio::select! {
                _ = tokio::time::timeout(DYING, process.wait_exit()) => {}
                () = at_rest(&process), if counts => {}
            }
        }
        if process.exited().is_none() && process.is_exiting() {
            return Some(process.wait_exit().await);
        }
        process.exited()
    }

    /// The first of these that it has done, if it has done any.
    pub(super) fn did(&self, never: &[Never]) -> Option<Failure> {
        let process = self.process()?;
        never.iter().find_map(|never| {
            let (message, note) = match &never.what {
                Unwanted::Crash => {
                    let own = process.pid();
                    let fault = process.faults().into_iter().find(|fault| fault.ends && fault.pid != own)?;
                    let exit = Exit::Signal { number: fault.signal, core: false };
                    let mut note = String::from("it was in:");
                    for frame in process::Names::default().frames(&fault.stack).iter().take(CALLS_MAX) {
                        note.push_str(&format!("\n  {frame}"));
                    }
                    let pid = fault.pid;
                    (
                        format!("a process that the target `{}` has started ended: {exit} (process {pid})", self.name),
                        note,
                    )
                }
                Unwanted::Line { stderr, words } => {
                    let stream = if *stderr { process::Stream::Stderr } else { process::Stream::Stdout };
                    let matches = Regex::new(words).expect("the scenario was checked");
                    let written = process.output(stream);
                    let line = written.split(|byte| *byte == b'\n').find(|line| matches.is_match(*line))?;
                    let line = String::from_utf8_lossy(line);
                    let message = format!("the target `{}` wrote what it never should: {line}", self.name);
                    (message, format!("no line matches `{words}`"))
                }
            };
            let mut failure = Failure::new(FailureKind::Mismatch, message, never.place.clone());
            failure.notes.push(note);
            Some(failure)
        })
    }

    /// The last lines that it wrote.
    pub(super) fn tail(&self) -> Vec<OutputLine> {
        self.process().map(|process| process.tail(TAIL_LINES)).unwrap_or_default()
    }
}

impl Group {
    /// Ends all, the last first.
    pub(super) async fn stop(&self) -> HashMap<String, process::Stopped> {
        let mut stopped = HashMap::new();
        for running in self.running.iter().rev() {
            match &running.kind {
                RunningKind::Elsewhere => {}
                RunningKind::Builtin { handle, .. } => {
                    if let Some(handle) = &*handle.borrow() {
                        handle.stop();
                    }
                }
                RunningKind::Process { .. } => {
                    let process = running.process().expect("it is one");
                    stopped.insert(running.name.clone(), process.stop().await);
                }
            }
        }
        stopped
    }
}
