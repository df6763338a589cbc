//! The one error of the data plane: whose fault it is, what the client is told, and whether to try elsewhere.

use http::StatusCode;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// Whose fault it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The client's: bad request, forbidden target, too slow.
    Client,
    /// A cache node's: refused, reset, silent. Never shown where another owner can answer.
    Node,
    /// Another cache node's, that a node asks in the origin's place.
    Peer,
    /// The origin's: refused, reset, timed out, broke off.
    Origin,
    /// Ours: full, or a bug.
    Us,
}

/// What went wrong, by the names of RFC 9209 section 2.3, which fixes the status and `Proxy-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    DnsTimeout,
    DnsError,
    DestinationNotFound,
    DestinationUnavailable,
    DestinationIpProhibited,
    DestinationIpUnroutable,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectionTimeout,
    ConnectionReadTimeout,
    ConnectionWriteTimeout,
    ConnectionLimitReached,
    HttpRequestError,
    HttpRequestDenied,
    HttpResponseIncomplete,
    HttpResponseTimeout,
    HttpResponseHeaderSectionSize,
    HttpResponseTransferCoding,
    HttpProtocolError,
    HttpUpgradeFailed,
    ProxyInternalError,
    ProxyLoopDetected,
    TlsProtocolError,
    TlsCertificateError,
    TlsAlertReceived,
}

/// Whose fault it was and what went wrong, without words: how a message broke off, and what logs and metrics say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blame {
    pub whose: Whose,
    pub kind: Kind,
}

/// An error of the data plane.
#[derive(Debug)]
pub struct Fault {
    pub whose: Whose,
    pub kind: Kind,
    /// What the client is answered.
    pub status: StatusCode,
    /// One clear sentence for the person at the client; names the cure where there is one.
    pub detail: Cow<'static, str>,
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// The client's fault, answered with `status`.
    pub fn client(status: StatusCode, kind: Kind, detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault { whose: Whose::Client, kind, status, detail: detail.into(), source: None }
    }
    /// A malformed request: 400.
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault::client(StatusCode::BAD_REQUEST, Kind::HttpRequestError, detail)
    }
    /// A request that the rules forbid: 403.
    pub fn denied(detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault::client(StatusCode::FORBIDDEN, Kind::HttpRequestDenied, detail)
    }
    /// The origin's fault: 504 for the time-outs, else 502.
    pub fn origin(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Fault {
        let status = match kind {
            Kind::ConnectionTimeout
            | Kind::ConnectionReadTimeout
            | Kind::ConnectionWriteTimeout
            | Kind::HttpResponseTimeout
            | Kind::DnsTimeout => StatusCode::GATEWAY_TIMEOUT,
            Kind::ConnectionLimitReached => StatusCode::SERVICE_UNAVAILABLE,
            Kind::DestinationIpProhibited => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_GATEWAY,
        };
        Fault { whose: Whose::Origin, kind, status, detail: detail.into(), source: None }
    }
    /// A node's fault: another owner is asked; only when none is left does a client see 503.
    pub fn node(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault { whose: Whose::Node, kind, status: StatusCode::SERVICE_UNAVAILABLE, detail: detail.into(), source: None }
    }
    /// Our own fault: `status` is 503 when full, 502 for a loop, 500 for a bug.
    pub fn us(status: StatusCode, kind: Kind, detail: impl Into<Cow<'static, str>>) -> Fault {
        Fault { whose: Whose::Us, kind, status, detail: detail.into(), source: None }
    }
    /// The same with what caused it.
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Fault {
        self.source = Some(source.into());
        self
    }
    pub fn blame(&self) -> Blame {
        Blame { whose: self.whose, kind: self.kind }
    }
}

impl Whose {
    pub const ALL: [Whose; 5] = [Whose::Client, Whose::Node, Whose::Peer, Whose::Origin, Whose::Us];

    /// As the link, logs and metrics say it.
    pub fn token(self) -> &'static str {
        match self {
            Whose::Client => "client",
            Whose::Node => "node",
            Whose::Peer => "peer",
            Whose::Origin => "origin",
            Whose::Us => "us",
        }
    }
}

impl Blame {
    /// Whether an origin has failed in TLS: nobody knows whom he would speak with.
    pub fn is_of_tls(self) -> bool {
        let kinds = [Kind::TlsCertificateError, Kind::TlsProtocolError, Kind::TlsAlertReceived];
        self.whose == Whose::Origin && kinds.contains(&self.kind)
    }

    pub fn new(whose: Whose, kind: Kind) -> Blame {
        Blame { whose, kind }
    }

    /// From what [`Blame`] is shown as: `origin http_response_incomplete`.
    pub fn read(text: &[u8]) -> Option<Blame> {
        let (whose, kind) = std::str::from_utf8(text).ok()?.split_once(' ')?;
        let whose = Whose::ALL.into_iter().find(|known| known.token() == whose)?;
        Some(Blame { whose, kind: Kind::ALL.into_iter().find(|known| known.token() == kind)? })
    }

    /// The error that it is while nothing has been answered yet.
    pub fn fault(self) -> Fault {
        let detail = match (self.whose, self.kind) {
            (Whose::Origin, Kind::ConnectionReadTimeout) => "the origin stopped sending",
            (Whose::Origin, _) => "the origin broke off within its answer",
            (Whose::Client, _) => "the request's body broke off",
            (Whose::Node, _) => "the cache node that was asked broke off within its answer",
            (Whose::Peer, _) => "the cache node that had it broke off within its answer",
            (Whose::Us, _) => "the answer could not be brought to its end; try again",
        };
        match self.whose {
            Whose::Origin => Fault::origin(self.kind, detail),
            Whose::Client => Fault::client(StatusCode::BAD_REQUEST, self.kind, detail),
            Whose::Node | Whose::Peer => {
                Fault { whose: self.whose, status: StatusCode::BAD_GATEWAY, ..Fault::node(self.kind, detail) }
            }
            Whose::Us => Fault::us(StatusCode::BAD_GATEWAY, self.kind, detail),
        }
    }
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.whose.token(), self.kind.token())
    }
}

impl Error for Blame {}

impl Kind {
    pub const ALL: [Kind; 25] = [
        Kind::DnsTimeout,
        Kind::DnsError,
        Kind::DestinationNotFound,
        Kind::DestinationUnavailable,
        Kind::DestinationIpProhibited,
        Kind::DestinationIpUnroutable,
        Kind::ConnectionRefused,
        Kind::ConnectionTerminated,
        Kind::ConnectionTimeout,
        Kind::ConnectionReadTimeout,
        Kind::ConnectionWriteTimeout,
        Kind::ConnectionLimitReached,
        Kind::HttpRequestError,
        Kind::HttpRequestDenied,
        Kind::HttpResponseIncomplete,
        Kind::HttpResponseTimeout,
        Kind::HttpResponseHeaderSectionSize,
        Kind::HttpResponseTransferCoding,
        Kind::HttpProtocolError,
        Kind::HttpUpgradeFailed,
        Kind::ProxyInternalError,
        Kind::ProxyLoopDetected,
        Kind::TlsProtocolError,
        Kind::TlsCertificateError,
        Kind::TlsAlertReceived,
    ];

    /// Nobody has proved to be who was asked: nothing takes the answer's place, however old it may be.
    pub fn is_of_tls(self) -> bool {
        matches!(self, Kind::TlsProtocolError | Kind::TlsCertificateError | Kind::TlsAlertReceived)
    }

    /// The `error` parameter of `Proxy-Status`.
    pub fn token(self) -> &'static str {
        match self {
            Kind::DnsTimeout => "dns_timeout",
            Kind::DnsError => "dns_error",
            Kind::DestinationNotFound => "destination_not_found",
            Kind::DestinationUnavailable => "destination_unavailable",
            Kind::DestinationIpProhibited => "destination_ip_prohibited",
            Kind::DestinationIpUnroutable => "destination_ip_unroutable",
            Kind::ConnectionRefused => "connection_refused",
            Kind::ConnectionTerminated => "connection_terminated",
            Kind::ConnectionTimeout => "connection_timeout",
            Kind::ConnectionReadTimeout => "connection_read_timeout",
            Kind::ConnectionWriteTimeout => "connection_write_timeout",
            Kind::ConnectionLimitReached => "connection_limit_reached",
            Kind::HttpRequestError => "http_request_error",
            Kind::HttpRequestDenied => "http_request_denied",
            Kind::HttpResponseIncomplete => "http_response_incomplete",
            Kind::HttpResponseTimeout => "http_response_timeout",
            Kind::HttpResponseHeaderSectionSize => "http_response_header_section_size",
            Kind::HttpResponseTransferCoding => "http_response_transfer_coding",
            Kind::HttpProtocolError => "http_protocol_error",
            Kind::HttpUpgradeFailed => "http_upgrade_failed",
            Kind::ProxyInternalError => "proxy_internal_error",
            Kind::ProxyLoopDetected => "proxy_loop_detected",
            Kind::TlsProtocolError => "tls_protocol_error",
            Kind::TlsCertificateError => "tls_certificate_error",
            Kind::TlsAlertReceived => "tls_alert_received",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.detail)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blame_is_read_as_it_is_shown_and_nothing_else_is_one() {
        for (n, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, n, "they stand in order, and none is missing");
            for whose in Whose::ALL {
                let blame = Blame { whose, kind };
                assert_eq!(Blame::read(blame.to_string().as_bytes()), Some(blame));
            }
        }
        assert_eq!(Kind::TlsAlertReceived as usize + 1, Kind::ALL.len());
        for odd in [&b""[..], b"origin", b"origin ", b"nobody dns_error", b"origin dns_error ", b"us \xff"] {
            assert_eq!(Blame::read(odd), None, "{odd:?}");
        }
    }
}
