//! Client certificates: what the gateway shows a backend to prove that it is the gateway.
//!
//! Really generated: RSA of 2048 bits, self-signed, which every backend can verify. The private key stays in a member of ours.
//! AWS: API Gateway Developer Guide, "Generate and configure an SSL certificate for backend
//! authentication".

use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa};
use rcgen::{KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::Value;

use super::support::{self, ID_LENGTH};
use crate::admin::protocol::error::{ApiError, ErrorKind};
use crate::admin::protocol::operation::{Context, Input, Operations, Outcome};
use crate::admin::protocol::page::page;
use crate::admin::protocol::patch::{self, Apply, Op, Rule, Wording};
use crate::net::clock::Timestamp;
use crate::store::control::{Body, Kind};

pub const OPERATIONS: Operations = &[
    ("GenerateClientCertificate", generate_client_certificate),
    ("GetClientCertificate", get_client_certificate),
    ("GetClientCertificates", get_client_certificates),
    ("UpdateClientCertificate", update_client_certificate),
    ("DeleteClientCertificate", delete_client_certificate),
];

/// The member of a stored certificate that holds its private key, PKCS #8 in PEM.
pub const PRIVATE_KEY: &str = "tidegatePrivateKey";

const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3_600);

/// A backend's clock may be behind ours by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);

const PATCH: &[Rule] =
    &[Rule { path: "/description", ops: &[Op::Replace], apply: Apply::TextOrNothing }];

fn generate_client_certificate(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let id = support::new_id(context, Kind::ClientCertificate, "", ID_LENGTH);
    let (certificate, key) = generate(context.now).map_err(|_| {
        ApiError::new(ErrorKind::Internal, "The client certificate could not be generated")
    })?;
    let mut body = Body::new();
    body.insert("clientCertificateId".to_owned(), Value::from(id.as_str()));
    support::copy_texts(&mut body, input, &["description"]);
    body.insert("pemEncodedCertificate".to_owned(), Value::from(certificate));
    body.insert("createdDate".to_owned(), context.seconds());
    let expires = context.now.plus(LIFETIME).as_seconds();
    body.insert("expirationDate".to_owned(), Value::from(expires));
    support::keep_tags(&mut body, input)?;
    body.insert(PRIVATE_KEY.to_owned(), Value::from(key));
    let answer = support::shown(&body);
    context.txn.put(Kind::ClientCertificate, "", &id, body);
    Ok(Outcome::Body(answer))
}

fn get_client_certificate(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    Ok(Outcome::Body(support::shown(&find(context, input)?)))
}

fn get_client_certificates(context: &mut Context<'_>, input: &Input) -> Result<Outcome, ApiError> {
    let found = context.txn.list(Kind::ClientCertificate, "");
    Ok(page(input, found.into_iter().map(|(id, body)| (id, support::shown(&body)))))
}

fn update_client_certificate(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    let mut body = find(context, input)?;
    patch::apply(&mut body, &patch::read(input)?, PATCH, Wording::Listing)?;
    let answer = support::shown(&body);
    context.txn.put(Kind::ClientCertificate, "", input.label("clientcertificate_id"), body);
    Ok(Outcome::Body(answer))
}

fn delete_client_certificate(
    context: &mut Context<'_>,
    input: &Input,
) -> Result<Outcome, ApiError> {
    find(context, input)?;
    let id = input.label("clientcertificate_id");
    // A stage without its certificate would no longer be let in by its backend.
    for (api, _) in context.txn.list(Kind::RestApi, "") {
        for (stage, settings) in context.txn.list(Kind::Stage, &api) {
            if support::text(&settings, "clientCertificateId") == id {
                return Err(ApiError::bad_request(format!(
                    "Client certificate {id} is in use by stage {stage} of API {api}"
                )));
            }
        }
    }
    context.txn.delete(Kind::ClientCertificate, "", id);
    support::nothing()
}

fn find(context: &Context<'_>, input: &Input) -> Result<Body, ApiError> {
    let id = input.label("clientcertificate_id");
    let found = context.txn.get(Kind::ClientCertificate, "", id);
    let found = found
        .ok_or_else(|| ApiError::not_found("Invalid Client Certificate identifier specified"))?;
    Ok(Body::clone(&found))
}

/// PEM of a new certificate and of its key.
fn generate(now: Timestamp) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ApiGateway");
    params.is_ca = IsCa::NoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let start = Duration::from_secs(now.as_seconds());
    params.not_before = epoch + start.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + (start + LIFETIME);
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    use serde_json::json;

    use super::super::trial::{NOW, World, call, object};
    use super::*;

    #[test]
    fn a_certificate_is_real_lasts_a_year_and_keeps_its_key_to_itself() {
        let mut world = World::new(&[OPERATIONS]);
        let made = world.ok("GenerateClientCertificate", call().body(json!({"description": "d"})));
        let id = made["clientCertificateId"].as_str().unwrap().to_owned();
        assert_eq!(made["expirationDate"], NOW + 365 * 86_400);
        let pem = made["pemEncodedCertificate"].as_str().unwrap();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(parsed.subject(), parsed.issuer());
        assert_eq!(parsed.validity().not_after.timestamp().unsigned_abs(), NOW + 365 * 86_400);

        let kept = world.txn.get(Kind::ClientCertificate, "", &id).unwrap();
        let key = KeyPair::from_pem(support::text(&kept, PRIVATE_KEY)).unwrap();
        assert_eq!(*parsed.public_key().subject_public_key.data, *key.public_key_raw());
        let got = world.ok("GetClientCertificate", call().uri("clientcertificate_id", &id));
        let all = world.ok("GetClientCertificates", call());
        for answer in [&made, &got, &all] {
            assert!(!answer.to_string().contains("PRIVATE KEY"));
        }
    }

    #[test]
    fn a_description_changes_and_a_certificate_in_use_stays() {
        let mut world = World::new(&[OPERATIONS]);
        let id = world.id("GenerateClientCertificate", call(), "clientCertificateId");
        let at = || call().uri("clientcertificate_id", &id);
        let changed = world.ok(
            "UpdateClientCertificate",
            at().patch(&[("replace", "/description", json!("new"))]),
        );
        assert_eq!(changed["description"], "new");
        let stage = object(json!({"stageName": "dev", "clientCertificateId": id}));
        world.txn.put(Kind::Stage, "api1234567", "dev", stage);
        assert_eq!(world.refused("DeleteClientCertificate", at()).0, ErrorKind::BadRequest);
        world.txn.delete(Kind::Stage, "api1234567", "dev");
        world.ok("DeleteClientCertificate", at());
        assert_eq!(
            world.refused("GetClientCertificate", at()),
            (ErrorKind::NotFound, "Invalid Client Certificate identifier specified".to_owned())
        );
    }
}
