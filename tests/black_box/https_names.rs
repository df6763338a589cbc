//! Whoever asks for ever new names below one that is listed leaves the front's memory as it is, and others are served meanwhile.

use crate::support::intercepted::Intercepted;
use crate::support::*;

/// More than there are certificates kept (1,024).
const MANY: usize = 1400;
const NAMES: usize = if RELEASE { 10_000 } else { 2 * MANY };

#[test]
fn random_names_leave_memory_flat_and_others_served() {
    let _alone = alone();
    let stage = Intercepted::with(|setup, listed| setup.set("https", "hosts", vec![listed, "*.x.test".to_owned()]));
    stage.origin.on("/page", |x| x.reply(200, "Cache-Control: max-age=600\r\n", "page"));
    let (config, host) = (stage.client(&["http/1.1"]), format!("Host: {}\r\n", stage.host()));
    let mut other = stage.inside(&config);
    let mut serves_others = || {
        other.origin_form("GET", "/page", &host, b"").unwrap();
        assert_eq!(other.response("GET").unwrap().text(), "page");
    };
    let greet = |number: usize| {
        let name = format!("r{number}.x.test");
        let mut tunnel = stage.cluster.connect();
        tunnel.send(format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n")).unwrap();
        assert_eq!(tunnel.head().unwrap().word(1), "200");
        let mut inside = tunnel.secure(&config, &name).unwrap_or_else(|e| panic!("{name}: {e}"));
        // What the front answers itself, so that the name does not have to be one.
        inside.origin_form("OPTIONS", "*", &format!("Host: {name}\r\nMax-Forwards: 0\r\n"), b"").unwrap();
        assert_eq!(inside.response("OPTIONS").unwrap().status, 204, "{name}");
    };
    let mut after_many = 0;
    for number in 0..NAMES {
        greet(number);
        if number % 50 == 0 {
            serves_others();
        }
        if number == MANY {
            after_many = process::resident(stage.cluster.pid());
        }
    }
    let in_the_end = process::resident(stage.cluster.pid());
    let more = in_the_end.saturating_sub(after_many);
    assert!(more < 4 << 20, "{more} bytes more for {} more names", NAMES - MANY);
    assert_eq!(stage.cluster.metric("ringhold_front_tls_handshakes_total"), NAMES as u64 + 1);
    assert_eq!(stage.origin.count("/page"), 1);
}
