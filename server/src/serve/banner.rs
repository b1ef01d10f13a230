//! What a person who starts a server in a terminal is told.

use std::io::Write;
use std::net::SocketAddr;

use crate::config::{Config, LogFormat};

/// Says where the server answers and how to try it; nothing when logs are for programs.
pub(super) fn print(config: &Config, client: &[SocketAddr], peer: SocketAddr) {
    if config.log_format == LogFormat::Json {
        return;
    }
    // A closed stdout is no reason to stop.
    drop(std::io::stdout().write_all(text(config, client, peer).as_bytes()));
}

fn text(config: &Config, client: &[SocketAddr], peer: SocketAddr) -> String {
    let clients: Vec<String> = client.iter().map(ToString::to_string).collect();
    let one = client[0];
    let flag = if one.port() == 2379 && one.ip().is_loopback() {
        String::new()
    } else {
        format!(" --endpoints {one}")
    };
    format!(
        "\nQuorate {version} is ready.\n\
         \n  clients  {clients}   etcd v3 and quorate.v1, gRPC\
         \n  peers    {peer}\
         \n  data     {data}\n\
         \nTry it in another terminal:\n\
         \n  quorate put greeting hello{flag}\
         \n  quorate get greeting{flag}\
         \n  etcdctl --endpoints={one} get greeting\n\
         \nCtrl-C stops it.\n\n",
        version = env!("CARGO_PKG_VERSION"),
        clients = clients.join(", "),
        data = config.data_dir.display(),
    )
}
