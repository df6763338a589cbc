//! One request to the admin API.

use super::done::CommandFailure;
use crate::config::Secret;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::io::Write;
use std::time::Duration;
use tokio::net::TcpStream;

/// For connecting, asking and the whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 64 << 20;

/// Where the admin API is, and how to talk to it.
#[derive(Debug)]
pub struct Api {
    pub address: String,
    pub token: Option<Secret>,
    /// Print answers as they come.
    pub json: bool,
}

impl Api {
    /// Asks, and shows the answer: raw, or as `friendly` writes it.
    pub async fn show(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        friendly: impl FnOnce(&Value) -> String,
    ) -> Result<(), CommandFailure> {
        self.print(&self.ask(method, path, body, Duration::ZERO).await?, friendly)
    }

    /// Prints `answer`, raw or friendly.
    pub fn print(&self, answer: &Value, friendly: impl FnOnce(&Value) -> String) -> Result<(), CommandFailure> {
        let text = if self.json { answer.to_string() } else { friendly(answer) };
        writeln!(std::io::stdout(), "{}", text.trim_end())?;
        Ok(())
    }

    /// Asks; an error answer is a failure. `longer` is added to the patience: what the API was told to wait itself.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        longer: Duration,
    ) -> Result<Value, CommandFailure> {
        let patience = PATIENCE + longer;
        let (status, answer) =
            tokio::time::timeout(patience, self.exchange(method, path, body)).await.map_err(|_| {
                CommandFailure(format!("no answer from {} within {} s", self.address, patience.as_secs()))
            })??;
        let value = serde_json::from_slice(&answer).ok();
        match (status.is_success(), value) {
            (true, Some(value)) => Ok(value),
            (true, None) if answer.is_empty() => Ok(Value::Null),
            (true, None) => Err(CommandFailure(format!("{} does not answer as an admin API does", self.address))),
            (false, problem) => Err(CommandFailure(problem_line(status, problem.as_ref()))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Bytes), CommandFailure> {
        let stream = connect(&self.address, "Is ringhold running? Else name the admin API with --admin").await?;
        let broke = |cause: hyper::Error| CommandFailure(format!("{} broke off: {cause}", self.address));
        let (mut send, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
        tokio::spawn(connection);
        let answer = send.send_request(self.request(method, path, body)?).await.map_err(broke)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|cause| CommandFailure(format!("{} broke off: {cause}", self.address)))?;
        Ok((head.status, body.to_bytes()))
    }

    fn request(&self, method: Method, path: &str, body: Option<Value>) -> Result<Request<Full<Bytes>>, CommandFailure> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.address);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.0));
        }
        let body = match body {
            None => Full::default(),
            Some(value) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Full::from(value.to_string())
            }
        };
        request.body(body).map_err(|cause| CommandFailure(format!("cannot ask that: {cause}")))
    }
}

/// Connects, or says in one line what failed and what may help.
pub async fn connect(address: &str, help: &str) -> Result<TcpStream, CommandFailure> {
    let connecting = tokio::time::timeout(PATIENCE, TcpStream::connect(address));
    let failure =
        |cause: &dyn std::fmt::Display| CommandFailure(format!("cannot connect to {address} ({cause}). {help}"));
    connecting.await.map_err(|late| failure(&late))?.map_err(|cause| failure(&cause))
}

/// RFC 9457: `title: detail`.
fn problem_line(status: StatusCode, problem: Option<&Value>) -> String {
    let member = |name: &str| problem.and_then(|p| p.get(name)).and_then(Value::as_str);
    let title = member("title").map_or_else(|| status.to_string(), str::to_owned);
    let line = match member("detail") {
        Some(detail) => format!("{title}: {detail}"),
        None => title,
    };
    line.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_problem_is_one_line() {
        let full = json!({"title": "Not Found", "detail": "no node n9;\nnodes: n1", "status": 404});
        assert_eq!(problem_line(StatusCode::NOT_FOUND, Some(&full)), "Not Found: no node n9; nodes: n1");
        assert_eq!(problem_line(StatusCode::FORBIDDEN, Some(&json!({"title": "No"}))), "No");
        assert_eq!(problem_line(StatusCode::BAD_GATEWAY, None), "502 Bad Gateway");
    }
}
