//! Connections between two programs of this machine, as far as /proc tells.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;

/// Who is at the other end of a connection that another machine, or this one, made to a server here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// Another machine.
    Remote,
    /// A process of this one.
    Local(u32),
    /// Nobody can tell: there is no such connection, or its client may not be looked into.
    Unknown,
}

/// Returns who is at the other end of the connection that sshd names in `SSH_CONNECTION`.
pub(crate) fn client_of(connection: &str) -> Client {
    let Some((client, server)) = ends(connection) else { return Client::Unknown };
    let all: Vec<Entry> = ["tcp", "tcp6"]
        .iter()
        .flat_map(|table| fs::read_to_string(format!("/proc/net/{table}")))
        .flat_map(|table| table.lines().filter_map(Entry::parse).collect::<Vec<_>>())
        .collect();
    let find =
        |local, remote| all.iter().find(|entry| entry.local == local && entry.remote == remote);
    // What is named must be there, or it is only said.
    if find(server, client).is_none() {
        return Client::Unknown;
    }
    match find(client, server) {
        Some(entry) => owner_of(entry.inode).map_or(Client::Unknown, Client::Local),
        None if client.ip().is_loopback() || client.ip() == server.ip() => Client::Unknown,
        None => Client::Remote,
    }
}

/// Returns the client's and the server's end.
fn ends(connection: &str) -> Option<(SocketAddr, SocketAddr)> {
    let words: Vec<&str> = connection.split_whitespace().collect();
    let [client, client_port, server, server_port] = words[..] else { return None };
    let end = |ip: &str, port: &str| {
        // A link-local address names its interface.
        let ip: IpAddr = ip.split('%').next()?.parse().ok()?;
        Some(SocketAddr::new(ip.to_canonical(), port.parse().ok()?))
    };
    Some((end(client, client_port)?, end(server, server_port)?))
}

/// A row of proc_net_tcp(5).
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    inode: u64,
}

impl Entry {
    /// Reads a row of an established connection.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let field = |at: usize| fields.get(at).copied();
        if field(3)? != "01" {
            return None;
        }
        Some(Self {
            local: address(field(1)?)?,
            remote: address(field(2)?)?,
            inode: field(9)?.parse().ok()?,
        })
    }
}

/// Reads an address: words of the machine's own byte order in hexadecimal digits.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words = ip
        .as_bytes()
        .chunks(8)
        .map(|word| u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok().map(u32::to_ne_bytes));
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    let ip = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Returns the process that has a socket open, as far as processes may be looked into.
fn owner_of(inode: u64) -> Option<u32> {
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut open = open.filter_map(|entry| fs::metadata(entry.path()).ok());
        open.any(|file| file.ino() == inode && file.mode() & 0o170_000 == 0o140_000)
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn named(client: SocketAddr, server: SocketAddr) -> String {
        format!("{} {} {} {}", client.ip(), client.port(), server.ip(), server.port())
    }

    #[test]
    fn a_client_on_this_machine_is_found() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (_accepted, _) = listener.accept().unwrap();
            let (client, server) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
            assert_eq!(client_of(&named(client, server)), Client::Local(std::process::id()));
            // The same the other way round is this server's own end.
            let other = SocketAddr::new(client.ip(), client.port().wrapping_add(1));
            assert_eq!(client_of(&named(other, server)), Client::Unknown);
        }
    }

    #[test]
    fn what_is_only_said_is_not_believed() {
        for said in ["", "192.0.2.1 1 192.0.2.2 22", "here 1 there 22", "1 2 3", "::1 1 ::1"] {
            assert_eq!(client_of(said), Client::Unknown, "{said}");
        }
    }

    #[test]
    fn a_row_of_the_table_is_read() {
        let row = "   3: 0100007F:0016 0100007F:B0E8 01 00000000:00000000 00:00000000 00000000  1000        0 7788 1 0000000000000000 20 4 30 10 -1";
        let entry = Entry::parse(row).unwrap();
        assert_eq!((entry.local, entry.inode), ("127.0.0.1:22".parse().unwrap(), 7788));
        let mapped = address("0000000000000000FFFF00000100007F:0016").unwrap();
        assert_eq!(mapped, "127.0.0.1:22".parse().unwrap());
        assert_eq!(Entry::parse("  sl  local_address rem_address   st"), None);
    }
}
