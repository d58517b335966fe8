//! Clients' certificates: which are good, and what they say.

use std::sync::Arc;

use lockgate_core::client_cert::ClientCertificate;
use lockgate_core::request::spiffe_id;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use webpki::EndEntityCert;

/// The URI names of a certificate; none of one that cannot be read.
pub(super) fn uri_names(certificate: &CertificateDer<'_>) -> Vec<Box<str>> {
    let certificate = EndEntityCert::try_from(certificate);
    certificate.map_or(Vec::new(), |certificate| {
        certificate.valid_uri_names().map(Into::into).collect()
    })
}

/// Nobody can be told of a certificate, or it says twice whose it is.
#[derive(Debug)]
pub(super) struct Untold;

/// The SPIFFE id of a certificate that was verified, and what upstreams are told of it by a server whose own has the URI
/// names `by`.
pub(super) fn told(certificate: &CertificateDer<'_>, by: &[Box<str>]) -> Result<(Option<Box<str>>, Box<str>), Untold> {
    let read = EndEntityCert::try_from(certificate).map_err(|_| Untold)?;
    let uri_names = uri_names(certificate);
    let dns_names: Vec<Box<str>> = read.valid_dns_names().map(Into::into).collect();
    let shown = ClientCertificate {
        der: certificate,
        subject: read.subject(),
        uri_names: &uri_names,
        dns_names: &dns_names,
    };
    let element = shown.element(by).map_err(|_| Untold)?;
    let id = spiffe_id(uri_names.iter().map(|name| &**name)).map_err(|_| Untold)?;
    Ok((id.map(Into::into), element.into()))
}

/// Takes certificates as `inner` does, if they carry one of some names (Istio's `subjectAltNames`).
#[derive(Debug)]
pub(super) struct OneOfNames {
    pub(super) names: Vec<Box<str>>,
    pub(super) inner: Arc<dyn ClientCertVerifier>,
}

impl OneOfNames {
    fn is_named(&self, certificate: &EndEntityCert<'_>) -> bool {
        let mut carried = certificate.valid_dns_names().chain(certificate.valid_uri_names());
        carried.any(|name| self.names.iter().any(|wanted| **wanted == *name))
    }
}

impl ClientCertVerifier for OneOfNames {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = EndEntityCert::try_from(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if self.is_named(&certificate) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
