//! Why a connection is not trusted.

use std::error::Error;
use std::io;

use rustls::Error as TlsError;

/// What is wrong with the other side's certificate, if that is why something failed: it has expired, is another's, or
/// nobody that is trusted has signed it. Time mends none of these.
pub(super) fn wrong_certificate(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(TlsError::InvalidCertificate(why)) = error.downcast_ref::<TlsError>() {
            return Some(format!("the server's certificate is not valid: {why}"));
        }
        // An I/O error names the source of what it wraps, and not what it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn a_certificate_is_found_however_deep_it_is() {
        let expired = TlsError::InvalidCertificate(CertificateError::Expired);
        let wrapped = io::Error::other(io::Error::other(expired));
        assert!(wrong_certificate(&wrapped).unwrap().to_lowercase().contains("expired"));
        assert_eq!(wrong_certificate(&io::Error::other(TlsError::HandshakeNotComplete)), None);
        assert_eq!(wrong_certificate(&io::Error::from(io::ErrorKind::TimedOut)), None);
    }
}
