//! How much of a body is read at a time.

use super::*;
use crate::net::http1::READ;

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
