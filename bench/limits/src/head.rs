//! What counts as an answer to what a load asks.

use crate::answer::length;

/// What an answer is so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    Partial,
    /// Where the head ends, and how long the body is.
    Good {
        end: usize,
        length: usize,
    },
    /// Not a 200 with a length: not what was asked for.
    Bad,
}

impl Head {
    pub fn of(bytes: &[u8]) -> Head {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut fields);
        match response.parse(bytes) {
            Ok(httparse::Status::Partial) => Head::Partial,
            Ok(httparse::Status::Complete(end)) => {
                length(&response).map_or(Head::Bad, |length| Head::Good { end, length })
            }
            Err(_) => Head::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_200_with_a_length_is_an_answer() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Head::Good { end: 38, length: 3 }),
            ("HTTP/1.1 200 OK\r\nContent-Le", Head::Partial),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc", Head::Bad),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Head::Bad),
            ("nonsense\r\n\r\n", Head::Bad),
        ] {
            assert_eq!(Head::of(text.as_bytes()), expected, "{text:?}");
        }
    }
}
