//! PURE. Why the https of a listed host is tunnelled all the same, as log and metrics name it.

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// A line of `[https] pass` has the host.
    Listed,
    /// Some node can be asked in clear alone, or has other rules for https.
    Nodes,
    /// This client has refused our certificate for it not long ago.
    Refused,
    /// The host has not proved who it is, or wants a certificate of its client: the client is to see that itself.
    Origin,
    /// The authority may not sign for it, or not any more.
    Unsigned,
    /// So many handshakes of this client are under way that there is no room for more.
    Busy,
    /// What the client says is no TLS.
    NotTls,
    /// It waits for the other end to speak first.
    Silence,
    /// It wants another host than it has named to the proxy.
    OtherName,
    /// It does not speak HTTP/1.1.
    Protocol,
    /// It speaks neither TLS 1.2 nor TLS 1.3.
    Version,
}

impl Passed {
    pub const ALL: [Passed; 11] = [
        Passed::Listed,
        Passed::Nodes,
        Passed::Refused,
        Passed::Origin,
        Passed::Unsigned,
        Passed::Busy,
        Passed::NotTls,
        Passed::Silence,
        Passed::OtherName,
        Passed::Protocol,
        Passed::Version,
    ];

    /// In the access log.
    pub fn logged(self) -> &'static str {
        match self {
            Passed::Listed => "passed:listed",
            Passed::Nodes => "passed:nodes",
            Passed::Refused => "passed:refused",
            Passed::Origin => "passed:origin",
            Passed::Unsigned => "passed:unsigned",
            Passed::Busy => "passed:busy",
            Passed::NotTls => "passed:not_tls",
            Passed::Silence => "passed:silence",
            Passed::OtherName => "passed:other_name",
            Passed::Protocol => "passed:protocol",
            Passed::Version => "passed:version",
        }
    }

    /// In metrics.
    pub fn token(self) -> &'static str {
        let logged = self.logged();
        logged.strip_prefix("passed:").unwrap_or(logged)
    }
}
