//! PURE. Which destinations a client may reach, decided on the address that is really connected to.

use crate::wire::authority::without_root;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who can reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everyone who may use the proxy.
    Anyone,
    /// Only clients on this machine: loopback, the unspecified address, and every address that this machine has.
    SameMachine,
    /// Nobody: link-local, metadata services, multicast, broadcast, reserved.
    Nobody,
}

/// Where clouds hand out credentials to whoever asks from inside a machine; beyond those in 169.254/16.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),                  // Alibaba
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),                      // Oracle
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),                    // Azure
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), // Amazon
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),  // Amazon, credentials of pods
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),  // Google
];

impl Reach {
    /// Whether a client may go there.
    pub fn allows(self, same_machine: bool) -> bool {
        match self {
            Reach::Anyone => true,
            Reach::SameMachine => same_machine,
            Reach::Nobody => false,
        }
    }
    /// The narrower of two.
    fn and(self, other: Reach) -> Reach {
        match (self, other) {
            (Reach::Nobody, _) | (_, Reach::Nobody) => Reach::Nobody,
            (Reach::SameMachine, _) | (_, Reach::SameMachine) => Reach::SameMachine,
            _ => Reach::Anyone,
        }
    }
}

/// Classifies an address in every spelling (IPv4-mapped, -compatible, NAT64 and 6to4 forms are unwrapped first);
/// `open` lists networks that the configuration opens for everyone, `own` the addresses of this machine: what listens there
/// takes whoever is sent on by us for somebody on this machine, as on loopback.
pub fn reach(address: IpAddr, open: &[IpNet], own: &[IpAddr]) -> Reach {
    if open.iter().any(|net| net.contains(&address)) {
        return Reach::Anyone;
    }
    if METADATA.contains(&address) {
        return Reach::Nobody;
    }
    let reach = match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => match within(v6) {
            Some(v4) => reach(IpAddr::V4(v4), open, own).and(reach_v6(v6)),
            None => reach_v6(v6),
        },
    };
    if own.contains(&address) { reach.and(Reach::SameMachine) } else { reach }
}

fn reach_v4(a: Ipv4Addr) -> Reach {
    if a.is_loopback() || a.is_unspecified() {
        // Connecting to 0.0.0.0 is connecting to loopback.
        return Reach::SameMachine;
    }
    let first = a.octets()[0];
    // 0/8 is "this network" (RFC 1122 section 3.2.1.3); 240/4 is reserved and has the broadcast address in it.
    if first == 0 || first >= 240 || a.is_multicast() || a.is_link_local() {
        return Reach::Nobody;
    }
    Reach::Anyone
}

fn reach_v6(a: Ipv6Addr) -> Reach {
    if a.is_loopback() || a.is_unspecified() {
        return Reach::SameMachine;
    }
    if a.is_multicast() || a.is_unicast_link_local() {
        return Reach::Nobody;
    }
    Reach::Anyone
}

/// The address that a name is a spelling of, where everybody who resolves it takes it for one: `localhost` and what ends so
/// (RFC 6761 section 6.3), and what inet_aton(3) reads, `127.1`, `0x7f.1` or `2130706433`; each also with a dot at its end.
pub fn spelled(name: &str) -> Option<IpAddr> {
    const LOCALHOST: &str = "localhost";
    let name = without_root(name);
    let before = name.len().checked_sub(LOCALHOST.len()).filter(|at| name.is_char_boundary(*at));
    if let Some((sub, last)) = before.map(|at| name.split_at(at))
        && last.eq_ignore_ascii_case(LOCALHOST)
        && (sub.is_empty() || sub.ends_with('.'))
    {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let mut parts = name.split('.').rev().map(number);
    let last = parts.next()??;
    let mut address: u64 = 0;
    let mut count = 0;
    for (n, part) in parts.enumerate() {
        count = n + 1;
        let part = part.filter(|part| *part < 256 && count < 4)?;
        address += part << (8 * n);
    }
    // The parts before the last stand from the left, one byte each; the last fills what is left.
    let left = 8 * (4 - count as u32);
    let last = Some(last).filter(|last| *last < 1 << left)?;
    u32::try_from((address << left) + last).ok().map(|bits| Ipv4Addr::from_bits(bits).into())
}

/// Decimal, octal with a 0 before it, or hexadecimal with 0x.
fn number(part: &str) -> Option<u64> {
    let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        Some("") => ("0", 16),
        Some(digits) => (digits, 16),
        None if part.len() > 1 && part.starts_with('0') => (&part[1..], 8),
        None => (part, 10),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, radix).ok().filter(|_| is_number)
}

/// The IPv4 address that packets to `a` end up at.
fn within(a: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = a.segments();
    let pair = |i: usize| Ipv4Addr::from((u32::from(s[i]) << 16) | u32::from(s[i + 1]));
    match s {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // Mapped (RFC 4291 section 2.5.5.2), compatible (2.5.5.1), translated (RFC 2765 section 2.1).
        [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => Some(pair(6)),
        // NAT64, well-known and local-use (RFC 6052 section 2.1, RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => Some(pair(6)),
        // 6to4 (RFC 3056 section 2).
        [0x2002, ..] => Some(pair(1)),
        // Teredo (RFC 4380 section 4): the client's address, every bit inverted.
        [0x2001, 0, ..] => Some(Ipv4Addr::from(!u32::from(pair(6)))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reach::*;

    fn check(rows: &[(&str, Reach)], open: &[IpNet]) {
        check_at(rows, open, &[]);
    }

    fn check_at(rows: &[(&str, Reach)], open: &[IpNet], own: &[IpAddr]) {
        for (address, expected) in rows {
            let ip: IpAddr = address.parse().expect(address);
            assert_eq!(reach(ip, open, own), *expected, "{address}");
        }
    }

    #[test]
    fn every_address_of_this_machine_is_as_its_loopback() {
        let own = ["10.0.0.7", "2001:db8::7", "fe80::7", "169.254.7.7"].map(|ip| ip.parse().unwrap());
        let rows = [
            ("10.0.0.7", SameMachine),
            ("::ffff:10.0.0.7", SameMachine),
            ("64:ff9b::10.0.0.7", SameMachine),
            ("2002:a00:7::", SameMachine),
            ("2001:db8::7", SameMachine),
            ("fe80::7", Nobody),
            ("169.254.7.7", Nobody),
            ("10.0.0.8", Anyone),
            ("2001:db8::8", Anyone),
        ];
        check_at(&rows, &[], &own);
        check_at(&[("10.0.0.7", Anyone), ("::ffff:10.0.0.7", Anyone)], &["10.0.0.0/8".parse().unwrap()], &own);
    }

    #[test]
    fn every_spelling_of_an_address_is_classified_alike() {
        check(
            &[
                // RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3: loopback; the unspecified address connects to it.
                ("127.0.0.1", SameMachine),
                ("127.255.255.254", SameMachine),
                ("::1", SameMachine),
                ("0.0.0.0", SameMachine),
                ("::", SameMachine),
                ("0.0.0.1", Nobody),
                ("0.255.255.255", Nobody),
                // RFC 3927 section 2.1, RFC 4291 section 2.5.6: link-local.
                ("169.254.0.1", Nobody),
                ("169.254.169.254", Nobody),
                ("fe80::1", Nobody),
                ("febf::1", Nobody),
                ("fec0::1", Anyone),
                // What clouds call metadata.
                ("fd00:ec2::254", Nobody),
                ("100.100.100.200", Nobody),
                ("100.100.100.201", Anyone),
                // RFC 5771 section 3, RFC 4291 section 2.7: multicast. RFC 1112 section 4: class E. RFC 919: broadcast.
                ("224.0.0.1", Nobody),
                ("239.255.255.255", Nobody),
                ("ff02::1", Nobody),
                ("240.0.0.1", Nobody),
                ("255.255.255.255", Nobody),
                // Everything else, private networks too (RFC 1918, RFC 4193).
                ("10.0.0.1", Anyone),
                ("172.16.0.1", Anyone),
                ("192.168.1.1", Anyone),
                ("223.255.255.255", Anyone),
                ("1.0.0.0", Anyone),
                ("126.255.255.255", Anyone),
                ("128.0.0.1", Anyone),
                ("2606:2800::1", Anyone),
                ("fd12:3456::1", Anyone),
            ],
            &[],
        );
    }

    #[test]
    fn what_is_read_as_an_address_without_asking_anybody_is_one() {
        for (name, expected) in [
            ("localhost", Some("127.0.0.1")),
            ("LocalHost", Some("127.0.0.1")),
            ("localhost.", Some("127.0.0.1")),
            ("a.localhost", Some("127.0.0.1")),
            ("a.localhost.", Some("127.0.0.1")),
            ("notlocalhost", None),
            ("localhost.example", None),
            ("127.1", Some("127.0.0.1")),
            ("127.0.1", Some("127.0.0.1")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("127.0.0.1.", Some("127.0.0.1")),
            ("0x7f.1", Some("127.0.0.1")),
            ("0X7F000001", Some("127.0.0.1")),
            ("0177.0.0.01", Some("127.0.0.1")),
            ("2130706433", Some("127.0.0.1")),
            ("10.77.1", Some("10.77.0.1")),
            ("10.0x4d0001", Some("10.77.0.1")),
            ("1.2.3.4", Some("1.2.3.4")),
            ("1.2.65535", Some("1.2.255.255")),
            ("4294967295", Some("255.255.255.255")),
            ("0", Some("0.0.0.0")),
            ("4294967296", None),
            ("1.2.65536", None),
            ("1.256.1", None),
            ("1.2.3.4.5", None),
            ("1..2", None),
            ("1.2.3.x", None),
            ("08", None),
            ("0xg", None),
            ("+1", None),
            ("", None),
            (".", None),
            ("example.com", None),
            ("1.example", None),
        ] {
            assert_eq!(spelled(name), expected.map(|ip| ip.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn an_address_inside_another_is_found() {
        check(
            &[
                // RFC 4291 section 2.5.5.2: mapped.
                ("::ffff:127.0.0.1", SameMachine),
                ("::ffff:0.0.0.0", SameMachine),
                ("::ffff:169.254.169.254", Nobody),
                ("::ffff:100.100.100.200", Nobody),
                ("::ffff:192.0.2.1", Anyone),
                // RFC 4291 section 2.5.5.1: compatible.
                ("::127.0.0.1", SameMachine),
                ("::169.254.169.254", Nobody),
                ("::2", Nobody),
                // RFC 2765 section 2.1: translated.
                ("::ffff:0:127.0.0.1", SameMachine),
                // RFC 6052 section 2.1 and RFC 8215: NAT64.
                ("64:ff9b::127.0.0.1", SameMachine),
                ("64:ff9b::169.254.169.254", Nobody),
                ("64:ff9b::192.0.2.1", Anyone),
                ("64:ff9b:1::169.254.169.254", Nobody),
                // RFC 3056 section 2: 6to4.
                ("2002:7f00:1::", SameMachine),
                ("2002:a9fe:a9fe::1", Nobody),
                ("2002:c000:201::1", Anyone),
                // RFC 4380 section 4: Teredo, 169.254.169.254 and 127.0.0.1 inverted.
                ("2001:0:4136:e378:8000:63bf:5601:5601", Nobody),
                ("2001:0:4136:e378:8000:63bf:80ff:fffe", SameMachine),
                ("2001:db8::1", Anyone),
            ],
            &[],
        );
    }

    #[test]
    fn the_configuration_can_open_what_is_closed() {
        let open: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap(), "169.254.7.0/24".parse().unwrap()];
        check(
            &[
                ("127.0.0.1", Anyone),
                ("::ffff:127.0.0.1", Anyone),
                ("::1", SameMachine),
                ("169.254.7.9", Anyone),
                ("169.254.169.254", Nobody),
                ("0.0.0.0", SameMachine),
            ],
            &open,
        );
    }

    #[test]
    fn only_clients_on_this_machine_reach_this_machine() {
        assert!(Anyone.allows(false) && Anyone.allows(true));
        assert!(SameMachine.allows(true) && !SameMachine.allows(false));
        assert!(!Nobody.allows(true) && !Nobody.allows(false));
    }
}
