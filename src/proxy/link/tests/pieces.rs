//! How much of a body is read at a time.

use super::*;
use crate::net::http1::READ;
use tokio::sync::Notify;

/// The lengths of all pieces of a long body; its client leaves so many of the first lying until a sweep has passed.
async fn pieces(slow: usize) -> Vec<usize> {
    let body = "x".repeat(4 << 20);
    let node = FakeNode::new("n1", [vec![Act::Head, Act::Write(sized(&body)), Act::Silence]]);
    let pool = pool(&node, &config());
    let asked = Asked::get();
    let answer = exchange(&pool, &asked.request(), &mut None, Want::Any).await.unwrap();
    let NodeContent::Stream(mut body) = answer.content else { panic!("it is long") };
    let (mut pieces, mut all) = (Vec::new(), Vec::new());
    while let Some(frame) = poll_fn(|cx| body.poll(cx)).await {
        let piece = frame.unwrap().into_data().unwrap();
        pieces.push(piece.len());
        all.extend_from_slice(&piece);
        if pieces.len() <= slow {
            pool.sweep();
        }
        tokio::task::yield_now().await;
    }
    assert!(all == [b'x'; 4 << 20]);
    pieces
}

#[test]
fn a_client_that_leaves_a_piece_lying_gets_shorter_ones_than_who_takes_what_comes() {
    run(async {
        // The first has come with the head.
        let quick = pieces(0).await;
        assert!(quick[1] > READ, "{quick:?}");
        let slow = pieces(2).await;
        assert!(slow[1..3].iter().all(|piece| *piece <= READ), "{slow:?}");
        assert!(slow[3..].iter().any(|piece| *piece > READ), "{slow:?}");
    });
}

/// What a body ends with whose node breaks it off when its client has left a piece lying for so many sweeps; the node is there still.
async fn end_after(sweeps: usize) -> LinkError {
    let (piece, more) = ("x".repeat(1 << 16), Rc::new(Notify::new()));
    let begins = format!("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{piece}").into_bytes();
    let here = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"boot\":1}".to_vec();
    let body = vec![Act::Head, Act::Write(begins), Act::Until(more.clone())];
    let node = FakeNode::new("n1", [body, vec![Act::Head, Act::Write(here), Act::Silence]]);
    let pool = pool(&node, &config());
    let asked = Asked::get();
    let answer = exchange(&pool, &asked.request(), &mut None, Want::Any).await.unwrap();
    let NodeContent::Stream(mut body) = answer.content else { panic!("it is long") };
    let mut got = 0;
    while got < piece.len() {
        got += poll_fn(|cx| body.poll(cx)).await.unwrap().unwrap().into_data().unwrap().len();
    }
    for _ in 0..sweeps {
        pool.sweep();
    }
    more.notify_one();
    poll_fn(|cx| body.poll(cx)).await.unwrap().unwrap_err()
}

#[test]
fn a_node_that_breaks_off_between_two_reads_has_not_cut_its_client_also_where_a_sweep_comes_there() {
    run(async {
        for sweeps in [0, 1] {
            assert!(matches!(end_after(sweeps).await, LinkError::Died { .. }), "{sweeps}");
        }
        assert!(matches!(end_after(2).await, LinkError::Told(_)));
    });
}
