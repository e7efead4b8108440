//! What `harness bench` does where TLS begins in mid-stream.

use super::{bench, case, result};
use crate::run::Folder;

/// A server in Python that says `after` once it has answered to STARTTLS, goes on with TLS, and echoes.
fn server(after: &str) -> String {
    let server = format!(
        "import socket, ssl, sys, threading\nk = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\nk.load_cert_chain(sys.argv[2], sys.argv[3])\n\
         s = socket.create_server((\"127.0.0.1\", int(sys.argv[1])))\n\
         def serve(c):\n  c.recv(99)\n  c.sendall(b\"220 go{after}\\r\\n\")\n  c = k.wrap_socket(c, server_side=True)\n  \
         while d := c.recv(99): c.sendall(d)\n\
         while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()\n"
    );
    format!(
        "[target]\ncommand = [\"python3\", \"-c\", '''{server}''', \"${{target.port}}\", \"${{tls.cert}}\", \"${{tls.key}}\"]\n\
         [actor.client]\nconnect = \"target\"\nframing = \"crlf\"\nstarttls = {{ server_name = \"localhost\" }}\n{}",
        case(
            "{ send = \"STARTTLS\" }, { expect = { prefix = \"220\" } }, { starttls = true, mark = \"safe\" }, \
             { send = \"hello\" }, { expect = \"hello\" }"
        )
    )
}

#[test]
fn what_follows_starttls_is_measured_on_a_connection_that_has_begun_it() {
    let folder = Folder::with(&server(""));
    for connections in ["1", "3"] {
        bench(&folder, &["--iterations", "60", "--from", "safe", "-c", connections]).exits(0);
        let result = result(&folder);
        let counts = ["iterations", "bytes_sent", "bytes_received"].map(|name| result["counts"][name].as_u64());
        assert_eq!(counts, [60, 7 * 60, 7 * 60].map(Some), "{result}");
        assert_eq!((&result["tls"]["version"], &result["fresh"]), (&"TLS 1.3".into(), &false.into()));
    }
}

#[test]
fn each_iteration_begins_tls_where_nothing_says_otherwise() {
    let folder = Folder::with(&server(""));
    for connections in ["1", "3"] {
        bench(&folder, &["--iterations", "12", "-c", connections]).exits(0);
        let result = result(&folder);
        assert_eq!((&result["counts"]["iterations"], &result["fresh"]), (&12.into(), &true.into()), "{result}");
        assert_eq!(result["handshake_ns"]["count"], 12, "{result}");
    }
}

#[test]
fn what_comes_in_the_clear_is_not_taken_for_protected() {
    let folder = Folder::with(&server("\\r\\nhello"));
    bench(&folder, &["--iterations", "3"]).exits(1).says("in the clear, where TLS was to begin, came `hello");
}
