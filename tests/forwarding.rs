mod support;
use support::*;
#[test]
fn x() {
    let o = Origin::start();
    let mut c = Connection::to(o.address);
    o.on("/a", |x| x.reply(200, "A: b\r\n", "hi"));
    let r = c.ask("GET", &o.url("/a"), "", b"");
    println!("{r:?}");
    Setup::default().write_into(std::path::Path::new("/tmp"));
    println!("{}", std::fs::read_to_string("/tmp/cluster.toml").unwrap());
}
