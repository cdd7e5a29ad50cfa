//! Which user owns the other end of a loopback connection.
//!
//! On loopback the kernel knows both sockets, so a local program needs no certificate to be told from a
//! stranger: its socket carries the user id that opened it. The kernel is asked for the one socket by
//! `NETLINK_SOCK_DIAG`; where a sandbox forbids that, `/proc/net/tcp` is read, which lists every socket of
//! the machine and so costs more the busier it is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, sendto};

/// `TCP_ESTABLISHED` in the kernel's state numbering. Any other state means that the peer has begun to close,
/// after which the recorded owner is no longer reliable (an orphaned socket shows uid 0).
const ESTABLISHED: u8 = 1;

/// The user id that owns the peer's socket of a connection between two loopback addresses.
///
/// `local` is our end and `peer` is theirs. `None` if either is not loopback, if the socket is gone or
/// closing, or if the kernel does not tell.
pub fn owner_uid(local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    let (local, peer) = (canonical(local), canonical(peer));
    if !(local.ip().is_loopback() && peer.ip().is_loopback()) {
        return None;
    }
    match ask_kernel(local, peer) {
        Ok(owner) => owner,
        Err(error) => {
            tracing::debug!(%error, "socket diagnosis unavailable, reading /proc/net/tcp");
            read_table(local, peer)
        }
    }
}

/// Whether the peer's socket belongs to the user that this process runs as.
pub fn is_same_user(local: SocketAddr, peer: SocketAddr) -> bool {
    owner_uid(local, peer) == Some(rustix::process::getuid().as_raw())
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Set once socket diagnosis has answered. A kernel without it says the same as one that finds no such
/// socket, and only from the former the slow way may know better.
static DIAGNOSIS_ANSWERS: AtomicBool = AtomicBool::new(false);

/// Asks for the socket whose own address is `peer` and whose remote address is `local`.
fn ask_kernel(local: SocketAddr, peer: SocketAddr) -> io::Result<Option<u32>> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(netlink::SOCK_DIAG),
    )?;
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    sendto(&socket, &diagnosis_request(peer, local), SendFlags::empty(), &kernel)?;
    let mut answer = [0u8; 512];
    // The kernel answers before sendto returns, so that a non-blocking read is enough.
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    match parse_diagnosis(&answer[..length]) {
        Ok(owner) => {
            DIAGNOSIS_ANSWERS.store(true, Ordering::Relaxed);
            Ok(owner)
        }
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && DIAGNOSIS_ANSWERS.load(Ordering::Relaxed) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

const NETLINK_HEADER_BYTES: usize = 16;
/// `SOCK_DIAG_BY_FAMILY`, both as request and as answer.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLMSG_ERROR`.
const NETLINK_ERROR: u16 = 2;

/// A `nlmsghdr` and an `inet_diag_req_v2` for one exact socket (linux/inet_diag.h).
fn diagnosis_request(own: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let family = match own {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    const BYTES: u32 = 72;
    const REQUEST: u16 = 1;
    const TCP: u8 = 6;
    let mut out = Vec::with_capacity(BYTES as usize);
    out.extend(BYTES.to_ne_bytes());
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend(REQUEST.to_ne_bytes());
    out.extend([0; 8]); // sequence number, port id
    out.extend([family.as_raw() as u8, TCP, 0, 0]);
    out.extend(u32::MAX.to_ne_bytes()); // any state
    out.extend(own.port().to_be_bytes());
    out.extend(remote.port().to_be_bytes());
    out.extend(padded(own.ip()));
    out.extend(padded(remote.ip()));
    out.extend([0; 4]); // any interface
    out.extend([0xff; 8]); // no cookie
    debug_assert_eq!(out.len(), BYTES as usize);
    out
}

fn padded(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let mut out = [0; 16];
            out[..4].copy_from_slice(&v4.octets());
            out
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Reads `state` and `uid` out of an `inet_diag_msg`.
fn parse_diagnosis(answer: &[u8]) -> io::Result<Option<u32>> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "short socket diagnosis");
    let word = |at: usize| -> io::Result<u32> {
        let bytes = answer.get(at..at + 4).ok_or_else(malformed)?;
        Ok(u32::from_ne_bytes(bytes.try_into().expect("four bytes were taken")))
    };
    let kind = answer.get(4..6).ok_or_else(malformed)?;
    let kind = u16::from_ne_bytes(kind.try_into().expect("two bytes were taken"));
    if kind == NETLINK_ERROR {
        let errno = (word(NETLINK_HEADER_BYTES)? as i32).wrapping_neg();
        return Err(io::Error::from_raw_os_error(errno));
    }
    if kind != SOCK_DIAG_BY_FAMILY {
        return Err(malformed());
    }
    let state = *answer.get(NETLINK_HEADER_BYTES + 1).ok_or_else(malformed)?;
    let uid = word(NETLINK_HEADER_BYTES + 64)?;
    Ok((state == ESTABLISHED).then_some(uid))
}

fn read_table(local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    // A socket of an IPv6 program that talks IPv4 is listed, mapped, in the second table only.
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .find_map(|table| find_owner(&table, local, peer))
}

/// Finds the socket whose own address is `peer` in the text of `/proc/net/tcp` or `/proc/net/tcp6`.
fn find_owner(table: &str, local: SocketAddr, peer: SocketAddr) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let own = parse_address(fields.next()?)?;
        let remote = parse_address(fields.next()?)?;
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        let uid = fields.nth(3)?.parse().ok()?;
        (own == peer && remote == local && state == ESTABLISHED).then_some(uid)
    })
}

/// `0100007F:1F90`: the address as 32-bit words in the machine's byte order, the port in big-endian order.
fn parse_address(field: &str) -> Option<SocketAddr> {
    let (address, port) = field.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| -> Option<[u8; 4]> {
        let digits = address.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (at, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_sources_name_the_owner_of_a_live_connection() {
        for bind in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(bind) else {
                continue; // no IPv6 on this machine
            };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let local = server.local_addr().unwrap();
            let own = rustix::process::getuid().as_raw();
            assert_eq!(owner_uid(local, peer), Some(own), "{bind}");
            assert_eq!(read_table(local, peer), Some(own), "{bind}");
            assert!(is_same_user(local, peer));

            // A peer that has closed no longer vouches for anybody.
            drop(client);
            assert_eq!(read_table(local, peer), None);
            assert_eq!(owner_uid(local, peer), None);
        }
    }

    #[test]
    fn an_address_that_is_not_loopback_has_no_owner() {
        assert_eq!(owner_uid(address("127.0.0.1:1"), address("192.0.2.1:2")), None);
        assert_eq!(owner_uid(address("192.0.2.1:1"), address("127.0.0.1:2")), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn tables_are_read_by_row() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1
   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 101 1
   2: 0100007F:C351 0100007F:1F90 06 00000000:00000000 03:00000000 00000000     0        0 0 3
   3: 0000000000000000FFFF00000100007F:C352 0000000000000000FFFF00000100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 102 1
   4: 00000000000000000000000001000000:C353 00000000000000000000000001000000:1F90 01 00000000:00000000 00:00000000 00000000  1002        0 103 1
";
        let cases = [
            ("127.0.0.1:8080", "127.0.0.1:50000", Some(1000)),
            ("127.0.0.1:8080", "127.0.0.1:50001", None), // TIME_WAIT
            ("127.0.0.1:8080", "127.0.0.1:50002", Some(1001)),
            ("[::1]:8080", "[::1]:50003", Some(1002)),
            ("127.0.0.1:8080", "127.0.0.1:50009", None),
            ("127.0.0.1:50000", "127.0.0.1:8080", None), // our end, not theirs
        ];
        for (local, peer, expected) in cases {
            assert_eq!(find_owner(table, address(local), address(peer)), expected, "{peer}");
        }
    }

    proptest! {
        #[test]
        fn no_table_and_no_answer_panics(table in "\\PC{0,200}", field in "[0-9A-Fa-f:é]{0,40}", answer: Vec<u8>) {
            let _ = find_owner(&format!("header\n{table}"), address("127.0.0.1:1"), address("127.0.0.1:2"));
            let _ = parse_address(&field);
            let _ = parse_diagnosis(&answer);
        }
    }
}
