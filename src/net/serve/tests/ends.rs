//! How connections end: time limits, and draining.

use super::*;

#[test]
fn a_connection_without_a_request_is_closed_without_a_word() {
    run(async {
        let server = Server::start(ServerLimits { idle: SHORT, ..limits() });
        assert_eq!(rest(&mut server.dial().await).await, "");
        assert!(matches!(server.end().await, ConnEnd::IdleTooLong));
        let mut client = server.dial().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        hello(&mut client).await;
        assert_eq!(rest(&mut client).await, "");
        assert!(matches!(server.end().await, ConnEnd::IdleTooLong));
    });
}

#[test]
fn a_head_that_trickles_is_answered_408() {
    run(async {
        let server = Server::start(ServerLimits { header: SHORT, ..limits() });
        let (mut read, mut write) = server.dial().await.into_split();
        let trickle = tokio::task::spawn_local(async move {
            while write.write_all(b"A").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
        });
        let mut all = Vec::new();
        let _ = read.read_to_end(&mut all).await;
        assert_refused(&String::from_utf8(all).unwrap(), "408", "not complete within 60ms");
        trickle.abort();
        assert!(matches!(server.end().await, ConnEnd::Refused(_)));
    });
}

#[test]
fn a_request_in_service_has_no_time_limit_here() {
    run(async {
        let server = Server::start(ServerLimits { idle: SHORT, header: SHORT, stall: Some(SHORT), ..limits() });
        let mut client = server.dial().await;
        client.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        server.waiting.notified().await;
        tokio::time::sleep(SHORT * 4).await;
        server.go.notify_one();
        hello(&mut client).await;
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    run(async {
        let server = Server::start(ServerLimits { stall: Some(SHORT), ..limits() });
        let mut client = server.dial().await;
        client.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(matches!(server.end().await, ConnEnd::Stalled));
    });
}

#[test]
fn a_client_that_takes_slowly_is_not_cut_off() {
    run(async {
        let stall = Duration::from_secs(1);
        let server = Server::start(ServerLimits { stall: Some(stall), ..limits() });
        // Small segments, so that the peer's kernel says often what it has room for, as on a real network.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_tcp_mss(1400).unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        socket.connect(&server.address.parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut client = TcpStream::from_std(socket.into()).unwrap();
        client.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut piece = [0; 2048];
        // So slowly that the socket becomes writable less often than the limit asks.
        for _ in 0..60 {
            tokio::time::sleep(stall / 25).await;
            client.read_exact(&mut piece).await.unwrap();
        }
        assert!(server.ends.borrow().is_empty());
    });
}

#[test]
fn a_client_that_stops_sending_its_body_is_cut_off() {
    run(async {
        let server = Server::start(ServerLimits { stall: Some(SHORT), ..limits() });
        let mut client = server.dial().await;
        client.write_all(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345").await.unwrap();
        assert!(matches!(server.end().await, ConnEnd::Stalled));
    });
}

#[test]
fn without_a_stall_limit_a_slow_peer_is_waited_for() {
    run(async {
        let server = Server::start(ServerLimits { stall: None, idle: SHORT, ..limits() });
        let mut client = server.dial().await;
        client.write_all(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345").await.unwrap();
        tokio::time::sleep(SHORT * 4).await;
        client.write_all(b"67890").await.unwrap();
        hello(&mut client).await;
    });
}

#[test]
fn an_early_answer_to_a_long_upload_arrives() {
    run(async {
        let server = Server::start(limits());
        let (mut read, mut write) = server.dial().await.into_split();
        let upload = tokio::task::spawn_local(async move {
            let head = b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
            let _ = write.write_all(head).await;
            while write.write_all(&[b'x'; 65536]).await.is_ok() {}
        });
        let mut all = Vec::new();
        let _ = read.read_to_end(&mut all).await;
        assert!(String::from_utf8_lossy(&all).ends_with("hello"), "the answer was lost");
        upload.abort();
    });
}

#[test]
fn shutdown_closes_idle_connections_and_lets_requests_finish() {
    run(async {
        let server = Server::start(limits());
        let (mut fresh, mut used, mut busy) = (server.dial().await, server.dial().await, server.dial().await);
        used.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        hello(&mut used).await;
        busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        server.waiting.notified().await;
        server.trigger.begin();
        assert_eq!(rest(&mut fresh).await, "");
        assert_eq!(rest(&mut used).await, "");
        server.go.notify_one();
        let answer = rest(&mut busy).await;
        assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("hello"), "{answer:?}");
        assert_eq!(server.connections.drained(LONG).await, 0);
    });
}

#[test]
fn whoever_has_just_asked_may_ask_once_more_when_the_process_ends() {
    run(async {
        let server = Server::start(ServerLimits { idle: LONG, header: LONG, farewell: 4 * SHORT, ..limits() });
        let (mut idle, mut asks, mut fresh) = (server.dial().await, server.dial().await, server.dial().await);
        for client in [&mut idle, &mut asks] {
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            assert!(!hello(client).await.contains("close"));
        }
        server.trigger.begin();
        // One that asks no more is closed all the same.
        assert_eq!(rest(&mut fresh).await, "");
        assert_eq!(rest(&mut idle).await, "");
        assert_eq!(rest(&mut asks).await, "");
        let server = Server::start(ServerLimits { farewell: LONG, ..limits() });
        let mut clients = [server.dial().await, server.dial().await];
        clients[0].write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        hello(&mut clients[0]).await;
        server.trigger.begin();
        for mut client in clients {
            client.write_all(b"GET /known/5 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let answer = rest(&mut client).await;
            assert!(answer.contains("\r\nconnection: close\r\n") && answer.ends_with("55555"), "{answer:?}");
        }
        assert_eq!(server.connections.drained(LONG).await, 0);
    });
}

#[test]
fn what_does_not_finish_while_draining_is_ended() {
    run(async {
        let server = Server::start(limits());
        let mut busy = server.dial().await;
        busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        server.waiting.notified().await;
        server.trigger.begin();
        assert_eq!(server.connections.drained(SHORT).await, 1);
        assert_eq!(server.connections.count(), 0);
        assert_eq!(rest(&mut busy).await, "");
    });
}

#[test]
fn a_connection_that_comes_while_draining_gets_one_chance_to_be_none() {
    run(async {
        let server = Server::start(limits());
        server.trigger.begin();
        assert_eq!(rest(&mut server.dial().await).await, "");
    });
}

/// Until one that has come could give way.
async fn until_come(server: &Server) {
    while server.connections.longest_idle(None).is_none() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn who_has_just_come_and_not_asked_yet_gives_way_after_all_others() {
    run(async {
        let server = Server::start(limits());
        let mut fresh = server.dial().await;
        until_come(&server).await;
        let mut used = server.dial().await;
        used.write_all(b"GET /known/5 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"55555") {
            used.read_buf(&mut answer).await.unwrap();
        }
        let of_used = server.connections.longest_idle(None).unwrap();
        assert!(server.connections.close_longest_idle(None));
        assert_eq!(rest(&mut used).await, "", "the answer that is next for somebody is lost with the other one");
        fresh.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        hello(&mut fresh).await;
        drop(fresh);
        server.connections.drained(SHORT).await;
        // There is no other one.
        let mut fresh = server.dial().await;
        until_come(&server).await;
        assert!(server.connections.longest_idle(None).unwrap() < of_used, "that of another thread goes first");
        assert!(server.connections.close_longest_idle(None));
        assert_eq!(rest(&mut fresh).await, "");
    });
}

#[test]
fn who_asks_for_nothing_within_a_second_is_idle_like_others() {
    run(async {
        let server = Server::start(limits());
        let mut silent = server.dial().await;
        until_come(&server).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let mut used = server.dial().await;
        used.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        hello(&mut used).await;
        assert!(server.connections.close_longest_idle(None));
        assert_eq!(rest(&mut silent).await, "");
    });
}
