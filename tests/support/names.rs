//! A name server on port 53 of an address of loopback, and a program that asks no other.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use tempfile::TempDir;

/// What ends in `answers.test` has an address, what ends in `none.test` does not exist, what ends in `refused.test` is refused;
/// of anything else it says nothing.
pub struct NameServer {
    folder: TempDir,
}

impl NameServer {
    pub fn start() -> io::Result<NameServer> {
        static NEXT: AtomicU8 = AtomicU8::new(53);
        let (of_test, pid) = (NEXT.fetch_add(1, Ordering::Relaxed), std::process::id());
        let ip = Ipv4Addr::new(127, of_test, (pid >> 8) as u8, pid as u8 | 1);
        let socket = UdpSocket::bind((ip, 53))?;
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((n, from)) = socket.recv_from(&mut packet) {
                if let Some(answer) = answer(&packet[..n]) {
                    _ = socket.send_to(&answer, from);
                }
            }
        });
        let folder = TempDir::with_prefix("rh")?;
        std::fs::write(folder.path().join("resolv.conf"), format!("nameserver {}\n", IpAddr::from(ip)))?;
        Ok(NameServer { folder })
    }

    /// What to write before a command that is to ask it: needs `unshare` and `mount`.
    pub fn prefix(&self) -> [String; 5] {
        let file = self.folder.path().join("resolv.conf");
        let script = format!("mount --bind {} /etc/resolv.conf && exec \"$0\" \"$@\"", file.display());
        ["unshare", "-m", "sh", "-c", &script].map(str::to_owned)
    }
}

/// RFC 1035 section 4.1.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    while *question.get(at)? != 0 {
        at += 1 + usize::from(question[at]);
    }
    let name = &question[12..=at];
    let end = at + 5;
    let is_a = question.get(at + 1..end)? == [0, 1, 0, 1];
    let (code, found) = match () {
        () if name.ends_with(b"\x07answers\x04test\0") => (0, is_a),
        () if name.ends_with(b"\x04none\x04test\0") => (3, false),
        () if name.ends_with(b"\x07refused\x04test\0") => (5, false),
        () => return None,
    };
    let mut answer = question[..end].to_vec();
    answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, u8::from(found), 0, 0, 0, 0]);
    if found {
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
