//! What ringhold itself says to clients: how to use it, and what went wrong.

use super::reply::ReplyContent;
use crate::wire::fault::{Fault, Kind};
use crate::wire::status;
use crate::wire::written::field;
use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// Browsers offer to trust what comes as this.
/// What browsers offer to trust.
pub const CERTIFICATE: &str = "application/x-x509-ca-cert";
/// Where they are, on the proxy's address.
pub const ROOTS: &str = "/ca.pem";
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, CONNECT";

/// Someone opened the proxy's address in a browser: what this is and how to use it. `address` is what they opened;
/// `authorities`: what clients are to trust, by name and fingerprint.
pub fn help(
    status: StatusCode,
    headers: &HeaderMap,
    address: &str,
    admin: &str,
    authorities: &[(&str, String)],
) -> Response<ReplyContent> {
    let mut steps = vec![
        (
            "Shell (curl, pip, git and most others)".to_owned(),
            format!("export http_proxy=http://{address} https_proxy=http://{address}"),
        ),
        ("One curl".to_owned(), format!("curl -x http://{address} http://example.com/")),
        ("Chromium".to_owned(), format!("chromium --proxy-server=http://{address}")),
        ("Who is in the cluster".to_owned(), format!("curl --noproxy '*' http://{admin}/v1/nodes")),
    ];
    if !authorities.is_empty() {
        let shown = authorities.iter().map(|(name, fingerprint)| format!("{name}, SHA-256 {fingerprint}"));
        let what = format!("For https, to be trusted: {}", shown.collect::<Vec<_>>().join("; "));
        steps.push((what, format!("curl --noproxy '*' -O http://{address}{ROOTS}")));
    }
    if !wants_html(headers) {
        let steps: String = steps.iter().map(|(what, how)| format!("\n{what}:\n  {how}\n")).collect();
        return text(status, format!("This is ringhold, a caching HTTP proxy. It is used as a proxy:\n{steps}"));
    }
    let steps: String = steps
        .iter()
        .map(|(what, how)| format!("<dt>{}</dt><dd><code>{}</code></dd>", escape(what), escape(how)))
        .collect();
    let page = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>ringhold</title>\
         <style>body{{font:1rem/1.5 system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem}}\
         dt{{margin-top:1rem}}dd{{margin:0}}code{{background:#8882;padding:.2rem .4rem}}</style>\
         <h1>This is ringhold</h1><p>A caching HTTP proxy. It is not a web site: set it as a proxy.<dl>{steps}</dl></html>\n"
    );
    page_of(status, HTML, page)
}

/// The same for a request that takes the proxy for a server which has something under that path: whoever keeps the answer
/// must not take it for what was asked for.
pub fn not_here(proxy: &str, headers: &HeaderMap, address: &str, admin: &str) -> Response<ReplyContent> {
    let mut response = help(StatusCode::BAD_REQUEST, headers, address, admin, &[]);
    let fault = Fault::bad_request("The request names no host: it was sent to the proxy as if that were the server.");
    response.headers_mut().insert(PROXY_STATUS, status::proxy_status(proxy, &fault));
    response
}

/// What clients are to trust, as PEM.
pub fn roots(certificates: String) -> Response<ReplyContent> {
    page_of(StatusCode::OK, HeaderValue::from_static(CERTIFICATE), certificates)
}

/// Someone asked for the admin address through the proxy.
pub fn use_noproxy(admin: &str) -> Fault {
    let detail = format!(
        "http://{admin} is ringhold's own admin address. It is not served through the proxy: ask it directly, for \
         example with: curl --noproxy '*' http://{admin}/v1/nodes"
    );
    Fault::client(StatusCode::MISDIRECTED_REQUEST, Kind::HttpRequestDenied, detail)
}

/// What another front is answered.
pub fn json(body: Vec<u8>) -> Response<ReplyContent> {
    let mut response = Response::new(ReplyContent::Full(body.into()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `OPTIONS *`, or with `Max-Forwards: 0` (RFC 9110 section 7.6.2): what we can do.
pub fn options() -> Response<ReplyContent> {
    let mut response = page_of(StatusCode::NO_CONTENT, TEXT, String::new());
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
    response
}

/// `TRACE` with `Max-Forwards: 0`: the request as it came, without what may be secret (RFC 9110 section 9.3.8).
pub fn trace(request: &http::request::Parts) -> Response<ReplyContent> {
    let mut echo = format!("TRACE {} {:?}\r\n", request.uri, request.version).into_bytes();
    for (name, value) in &request.headers {
        if !matches!(name.as_str(), "authorization" | "proxy-authorization" | "cookie") && !value.is_sensitive() {
            field(&mut echo, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    echo.extend_from_slice(b"\r\n");
    page_of(StatusCode::OK, HeaderValue::from_static("message/http"), echo)
}

/// What went wrong, in a sentence.
pub fn error(proxy: &str, fault: &Fault) -> Response<ReplyContent> {
    let mut response = text(fault.status, format!("{}\n", fault.detail));
    response.headers_mut().insert(PROXY_STATUS, status::proxy_status(proxy, fault));
    if fault.status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn text(status: StatusCode, text: String) -> Response<ReplyContent> {
    page_of(status, TEXT, text)
}

fn page_of(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<ReplyContent> {
    let mut response = Response::new(ReplyContent::Full(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|accept| accept.as_bytes().windows(9).any(|w| w == b"text/html"))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: Response<ReplyContent>) -> String {
        let ReplyContent::Full(bytes) = response.into_body() else { panic!("a page is whole") };
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_browser_gets_html_and_everyone_else_text() {
        let mut headers = HeaderMap::new();
        assert!(
            body(help(StatusCode::OK, &headers, "127.0.0.1:3128", "127.0.0.1:3129", &[]))
                .starts_with("This is ringhold")
        );
        headers.insert(ACCEPT, HeaderValue::from_static("text/html,*/*"));
        let page =
            body(help(StatusCode::OK, &headers, "\"><script>:1", "127.0.0.1:3129", &[("<script>", "AB".to_owned())]));
        assert!(page.starts_with("<!doctype html>"));
        assert!(!page.contains("<script>"), "what the client wrote is escaped");
        assert!(page.contains("SHA-256 AB") && page.contains("/ca.pem"));
    }

    #[test]
    fn a_trace_keeps_secrets_to_itself() {
        let (parts, ()) = http::Request::builder()
            .method("TRACE")
            .uri("http://a.example/")
            .header("authorization", "Basic c2VjcmV0")
            .header("cookie", "a=b")
            .header("x-other", "1")
            .body(())
            .unwrap()
            .into_parts();
        let echo = body(trace(&parts));
        assert_eq!(echo, "TRACE http://a.example/ HTTP/1.1\r\nx-other: 1\r\n\r\n");
    }

    #[test]
    fn an_error_is_a_sentence_with_proxy_status() {
        let response = error("ringhold-abc", &Fault::node(Kind::DestinationUnavailable, "No cache node can answer."));
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert!(response.headers()["proxy-status"].to_str().unwrap().contains("error=destination_unavailable"));
        assert_eq!(body(response), "No cache node can answer.\n");
    }
}
