//! What went wrong with TLS to an origin, by the names of RFC 9209, and what can be done about it.

use crate::wire::date::{self, Timestamp};
use crate::wire::fault::{Fault, Kind};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use std::borrow::Cow;
use std::io;

/// See the module.
#[derive(Debug)]
pub struct TlsTrouble {
    kind: Kind,
    /// What the origin has done, and the cure.
    said: Cow<'static, str>,
    source: Option<io::Error>,
}

impl TlsTrouble {
    /// Where what a connection failed by is of TLS.
    pub fn of(error: &io::Error) -> Option<TlsTrouble> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(TlsTrouble::of_tls(error.clone()))
    }

    /// An origin's fault; `origin` is how it is named.
    pub fn fault(self, origin: &str) -> Fault {
        let fault = Fault::origin(self.kind, format!("{origin} {}", self.said));
        self.source.into_iter().fold(fault, Fault::because)
    }

    pub(super) fn no_name() -> TlsTrouble {
        TlsTrouble::new(Kind::TlsCertificateError, "has a name that no certificate can be for: check its spelling")
    }

    pub(super) fn of_handshake(error: io::Error) -> TlsTrouble {
        match TlsTrouble::of(&error) {
            Some(trouble) => trouble,
            None => {
                let said = "closed the connection within the TLS handshake: check that it speaks TLS on that port";
                TlsTrouble { source: Some(error), ..TlsTrouble::new(Kind::ConnectionTerminated, said) }
            }
        }
    }

    pub(super) fn of_tls(error: Error) -> TlsTrouble {
        match error {
            Error::InvalidCertificate(why) => TlsTrouble::new(Kind::TlsCertificateError, certificate(&why)),
            Error::NoCertificatesPresented => TlsTrouble::new(Kind::TlsCertificateError, "shows no certificate"),
            Error::AlertReceived(alert) => of_alert(alert),
            Error::PeerIncompatible(
                PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13,
            ) => too_old(),
            Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                let said = "does not speak TLS on that port: is it for http://?";
                TlsTrouble::new(Kind::TlsProtocolError, said)
            }
            error => TlsTrouble::new(Kind::TlsProtocolError, format!("broke the rules of TLS ({error})")),
        }
    }

    fn new(kind: Kind, said: impl Into<Cow<'static, str>>) -> TlsTrouble {
        TlsTrouble { kind, said: said.into(), source: None }
    }
}

fn too_old() -> TlsTrouble {
    let said =
        "speaks neither TLS 1.2 nor TLS 1.3, and nothing older is safe: list it in [https] pass to have it tunnelled";
    TlsTrouble::new(Kind::TlsProtocolError, said)
}

fn of_alert(alert: AlertDescription) -> TlsTrouble {
    use AlertDescription::*;
    let name = format!("{alert:?}");
    let said = match alert {
        ProtocolVersion | InsufficientSecurity => return too_old(),
        CertificateRequired | BadCertificate | NoCertificate | AccessDenied | UnknownCA => format!(
            "wants a certificate of its client, which the proxy has not (alert {name}): list it in [https] pass to have it \
             tunnelled"
        ),
        HandshakeFailure => format!(
            "refused the TLS handshake (alert {name}): it may want a certificate of its client, or ciphers that are too \
             weak; list it in [https] pass to have it tunnelled"
        ),
        NoApplicationProtocol => {
            format!("does not speak HTTP/1.1 (alert {name}): list it in [https] pass to have it tunnelled")
        }
        UnrecognisedName => format!("does not know that name (alert {name}): check its spelling"),
        _ => format!("ended TLS by the alert {name}"),
    };
    TlsTrouble::new(Kind::TlsAlertReceived, said)
}

/// What is wrong with it, and the cure.
fn certificate(why: &CertificateError) -> Cow<'static, str> {
    match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("has a certificate that ended on {}: its owner has to renew it", day(*not_after)).into()
        }
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "has a certificate that begins on {}: check the clock of the proxy's machine, and then that of its owner",
            day(*not_before)
        )
        .into(),
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            let names: Vec<&str> = presented.iter().take(8).map(String::as_str).collect();
            format!("has a certificate for other names ({}): check the URL", names.join(", ")).into()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "has a certificate for another name: check the URL".into()
        }
        CertificateError::UnknownIssuer => {
            "has a certificate of an authority that the proxy does not trust: name a file \
             with that authority's in [https] roots, if you trust it"
                .into()
        }
        why => format!(
            "has a certificate that cannot be believed ({why}): if it is its own authority, name it in [https] roots"
        )
        .into(),
    }
}

fn day(time: UnixTime) -> String {
    String::from_utf8_lossy(&date::format(Timestamp::from_seconds(time.as_secs()))).into_owned()
}
