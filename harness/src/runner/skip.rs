//! What has to be there for a case to be played: `skip_unless`.

use std::path::Path;

use rustix::process::geteuid;

use crate::scenario::SkipUnless;

/// Why a case cannot be played here.
pub(super) fn missing(wanted: &[SkipUnless]) -> Option<String> {
    wanted.iter().find_map(|wanted| match wanted {
        SkipUnless::Command(name) => (!on_path(name)).then(|| format!("the program `{name}` is not here")),
        SkipUnless::Env(name) => {
            std::env::var_os(name).is_none().then(|| format!("the environment has no variable `{name}`"))
        }
        SkipUnless::Ipv6 => (!has_ipv6()).then(|| "there is no IPv6 on the loopback".to_owned()),
        SkipUnless::Os(name) => {
            (name != std::env::consts::OS).then(|| format!("this is {}, not {name}", std::env::consts::OS))
        }
        SkipUnless::Root => (!geteuid().is_root()).then(|| "it needs the superuser".to_owned()),
    })
}

fn on_path(name: &str) -> bool {
    let is_program = |path: &Path| {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return is_program(Path::new(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| is_program(&folder.join(name)))
}

fn has_ipv6() -> bool {
    std::net::UdpSocket::bind("[::1]:0").is_ok()
}
