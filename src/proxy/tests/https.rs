//! What is asked in https, and nodes that could hear it in clear.

use super::*;
use crate::clock;
use crate::cluster::views::Node;
use crate::net::tls::{Roots, TlsClient, TlsSession};
use crate::proxy::https::ca::{CertificateAuthority, make};
use crate::proxy::https::leaf::Leaves;
use crate::wire::https::{HostEntry, HostList, Listed};
use crate::wire::target::Host;
use tokio::sync::Notify;

const HIT: &str =
    "Date: Sun, 29 Nov 2026 00:00:00 GMT\r\nCache-Status: n0; hit; ttl=60\r\nCache-Control: max-age=60\r\n";

/// A front that answers for a host, over a node, and what its clients believe.
struct Secure {
    stage: Stage,
    /// What tunnels are asked to.
    asked: String,
    client: TlsClient,
    _folder: tempfile::TempDir,
}

impl Secure {
    fn new(asked: &str, scripts: Vec<Vec<Act>>) -> Secure {
        let mut config = config();
        let entry = HostEntry::parse(asked).unwrap();
        let names = entry.names();
        let hosts = vec![Listed { entry, place: "test.toml:1".to_owned() }];
        config.https.list = HostList { hosts, pass: Vec::new() };
        let parts = make(&names, clock::wall()).unwrap();
        let authority = CertificateAuthority::open(parts, "test").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, crate::proxy::https::folder::roots(std::slice::from_ref(&authority))).unwrap();
        let client = TlsClient::new(&Roots { more: vec![file], never: folder.path().join("none") }).unwrap();
        let leaves = Arc::new(Leaves::new(vec![authority]).unwrap());
        let https = Arc::new(Interception::new(&config, leaves).unwrap());
        let stage = Stage::with_https(config, None, Some(https), vec![scripts]);
        Secure { stage, asked: asked.to_owned(), client, _folder: folder }
    }

    /// A tunnel that was agreed to.
    async fn tunnel(&self) -> TcpStream {
        let mut socket = TcpStream::connect(self.stage.address).await.unwrap();
        let request = format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", self.asked);
        socket.write_all(request.as_bytes()).await.unwrap();
        assert!(read_until(&mut socket, "\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
        socket
    }

    async fn inside(&self) -> TlsSession {
        self.client.connect(self.tunnel().await, Host::Name("a.example")).await.unwrap()
    }
}

impl Stage {
    /// From now on the only node is this one, by TCP; gives what it hears.
    async fn nodes_in_clear(&self) -> TcpListener {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap().to_string());
        let node = Node::new("n0".to_owned(), address, 1, true);
        node.set_up(true, crate::clock::tick().0);
        self.views.send_replace(Arc::new(View::new(2, ring(1), vec![Arc::new(node)])));
        listener
    }
}

/// Until the node has read this head whole.
async fn heard(stage: &Stage, connection: usize, path: &str) {
    let is_there = |heard: &Vec<u8>| {
        let text = String::from_utf8_lossy(heard);
        text.contains(path) && text.ends_with("\r\n\r\n")
    };
    while !stage.nodes[0].heard.borrow().get(connection).is_some_and(is_there) {
        tokio::task::yield_now().await;
    }
}

/// A node holds what is asked, another request is under way there, and so the next is sent behind it; when it breaks off, the
/// next node of the list is asked. `told`: has it break off.
fn breaks_off_when_asked_again(told: &Rc<Notify>) -> Vec<Vec<Act>> {
    vec![vec![Act::Head, answer(HIT, "page"), Act::Head, Act::Silence], vec![Act::Head, Act::Until(told.clone())]]
}

#[test]
fn inside_a_tunnel_what_nodes_may_not_be_asked_is_misdirected_and_its_connection_ends() {
    run(async {
        let told = Rc::new(Notify::new());
        let secure = Secure::new("a.example:443", breaks_off_when_asked_again(&told));
        let stage = &secure.stage;
        let get = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let (mut other, mut client) = (secure.inside().await, secure.inside().await);
        let mut page = Vec::new();
        client.write_all(get("x").as_bytes()).await.unwrap();
        while !page.ends_with(b"page") {
            assert!(client.read_buf(&mut page).await.unwrap() > 0);
        }
        other.write_all(get("other").as_bytes()).await.unwrap();
        heard(stage, 0, "/other").await;
        client.write_all(get("x").as_bytes()).await.unwrap();
        heard(stage, 1, "/x").await;
        let listener = stage.nodes_in_clear().await;
        told.notify_one();
        let mut answer = Vec::new();
        tokio::select! {
            end = client.read_to_end(&mut answer) => assert!(end.is_ok(), "{end:?}"),
            heard = listener.accept() => panic!("{heard:?}"),
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 421 ") && answer.contains("connection: close\r\n"), "{answer}");
    });
}

#[test]
fn idle_connections_inside_tunnels_end_when_a_node_joins_that_is_asked_in_clear() {
    run(async {
        let secure = Secure::new("a.example:443", vec![]);
        let mut client = secure.inside().await;
        let waiting = spawn_local(async move { client.read_to_end(&mut Vec::new()).await });
        let _listener = secure.stage.nodes_in_clear().await;
        assert_eq!(waiting.await.unwrap().expect("an end in order is no error"), 0);
    });
}

#[test]
fn a_tunnel_in_which_nothing_was_said_yet_is_passed_on_when_a_node_joins_that_is_asked_in_clear() {
    run(async {
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = origin.local_addr().unwrap().port();
        let secure = Secure::new(&format!("127.0.0.1:{port}"), vec![]);
        let tunnel = secure.tunnel().await;
        let _listener = secure.stage.nodes_in_clear().await;
        let greeting = secure.client.connect(tunnel, Host::Ip([127, 0, 0, 1].into()));
        tokio::select! {
            _ = greeting => panic!("nobody answers"),
            came = origin.accept() => assert_eq!(came.unwrap().0.read_u8().await.unwrap(), 22, "a hello"),
        }
    });
}

#[test]
fn https_is_said_in_clear_to_no_node_that_joins_while_another_is_asked() {
    run(async {
        let told = Rc::new(Notify::new());
        let stage = Stage::new(vec![breaks_off_when_asked_again(&told)]);
        let get = |path: &str| format!("GET https://a.example/{path} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert!(stage.talk(&get("x"), "page").await.starts_with("HTTP/1.1 200 "));
        let mut other = TcpStream::connect(stage.address).await.unwrap();
        other.write_all(get("other").as_bytes()).await.unwrap();
        heard(&stage, 0, "/other").await;
        let mut client = TcpStream::connect(stage.address).await.unwrap();
        client.write_all(get("x").as_bytes()).await.unwrap();
        heard(&stage, 1, "/x").await;
        let listener = stage.nodes_in_clear().await;
        told.notify_one();
        let mut line = [0; 12];
        tokio::select! {
            _ = client.read_exact(&mut line) => assert_eq!(&line, b"HTTP/1.1 403"),
            heard = listener.accept() => panic!("{heard:?}"),
        }
    });
}
