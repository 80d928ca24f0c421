//! Required parameters and the choice of the model: rest-data-plane 4.1, 4.2.

use http::HeaderValue;
use indexmap::IndexMap;

use super::*;
use crate::model::rest_api::Validation;

fn method(keys: &[(&str, bool)], parameters: bool, models: Option<&[(&str, &str)]>) -> Method {
    Method {
        http_method: "POST".to_owned(),
        request_parameters: keys.iter().map(|(key, on)| ((*key).to_owned(), *on)).collect(),
        validation: Some(Validation {
            parameters,
            body: models.map(|models| {
                models.iter().map(|(key, name)| ((*key).to_owned(), (*name).to_owned())).collect()
            }),
        }),
        ..Method::default()
    }
}

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

const ALL: [(&str, bool); 4] = [
    ("method.request.querystring.qs1", true),
    ("method.request.path.issuer", true),
    ("method.request.header.x-header-param", true),
    ("method.request.querystring.optional", false),
];

fn missing(
    validation: &RequestValidation,
    sent: &[(&'static str, &'static str)],
    query: Option<&str>,
    issuer: Option<&str>,
) -> Option<String> {
    let names = ["issuer".to_owned()];
    let path = issuer.unwrap_or_default();
    let range = 0..path.len();
    let path = match issuer {
        Some(_) => PathParameters { names: &names, path, ranges: std::slice::from_ref(&range) },
        None => PathParameters::default(),
    };
    validation.missing(&Parameters { headers: &headers(sent), query, path, host: "h.test" })
}

/// Recorded: test_api_gateway_request_validator.
#[test]
fn what_is_missing_is_named_in_the_order_of_the_keys() {
    let own = RequestValidation::compile(&method(&ALL, true, None), &Models::default()).unwrap();
    let all = "Missing required request parameters: [x-header-param, issuer, qs1]";
    assert_eq!(missing(&own, &[], None, None).as_deref(), Some(all));
    let there = [("x-header-param", "1")];
    assert_eq!(missing(&own, &there, Some("qs1=1"), Some("v")), None);
    for (sent, query, issuer, expected) in [
        (&there[..], None, Some("v"), "qs1"),
        (&there[..], Some("qs2=1"), Some("v"), "qs1"),
        // Documented: a blank value is missing.
        (&there[..], Some("qs1="), Some("v"), "qs1"),
        (&there[..], Some("qs1"), Some("v"), "qs1"),
        (&there[..], Some("qs1=%20+"), Some("v"), "qs1"),
        (&[("x-header-param", " ")][..], Some("qs1=1"), Some("v"), "x-header-param"),
        (&[("x-header-param", "")][..], Some("qs1=1"), Some("v"), "x-header-param"),
        (
            &[("x-header-param", "1"), ("x-header-param", "")][..],
            Some("qs1=1"),
            Some("v"),
            "x-header-param",
        ),
        (&there[..], Some("qs1=1&qs1="), Some("v"), "qs1"),
        (&there[..], Some("qs1=1"), Some("%20"), "issuer"),
        (&there[..], Some("qs1=1"), None, "issuer"),
        (&[][..], Some("QS1=1"), Some("v"), "x-header-param, qs1"),
    ] {
        let message = format!("Missing required request parameters: [{expected}]");
        assert_eq!(missing(&own, sent, query, issuer), Some(message), "{query:?} {issuer:?}");
    }
    // Of several values the last one decides.
    let twice = [("x-header-param", ""), ("x-header-param", "1")];
    assert_eq!(missing(&own, &twice, Some("qs1=&qs1=1"), Some("v")), None);
    // Names of headers have no case, those of a query have; a plus sign in a path is one.
    assert_eq!(missing(&own, &there, Some("a=b&%71s1=x&c"), Some("+")), None);
}

#[test]
fn hosts_are_there_without_a_header() {
    let own = method(&[("method.request.header.Host", true)], true, None);
    let own = RequestValidation::compile(&own, &Models::default()).unwrap();
    assert_eq!(missing(&own, &[], None, None), None);
}

#[test]
fn nothing_is_asked_without_a_validator_that_asks() {
    let models = Models::default();
    let without = Method { validation: None, ..method(&ALL, true, None) };
    for method in [without, method(&ALL, false, None), method(&ALL[3..], true, Some(&[]))] {
        assert!(RequestValidation::compile(&method, &models).is_none());
    }
}

/// rest-data-plane 4.2: the model is picked by the media type.
#[test]
fn the_media_type_picks_the_model() {
    let texts: IndexMap<String, String> = [
        ("Json".to_owned(), r#"{"required":["json"]}"#.to_owned()),
        ("Own".to_owned(), r#"{"required":["own"]}"#.to_owned()),
        ("Other".to_owned(), r#"{"required":["other"]}"#.to_owned()),
    ]
    .into();
    let models = Models::compile("a", &texts, ["Json", "Own", "Other"]).unwrap();
    let two = [("application/json", "Json"), ("application/vnd.own+json", "Own")];
    let three = [two[0], two[1], ("$default", "Other")];
    let picked = |list: &[(&str, &str)], sent: &[(&'static str, &'static str)]| {
        let own = RequestValidation::compile(&method(&[], false, Some(list)), &models).unwrap();
        assert!(own.asks_for_bodies());
        let model = own.model(&headers(sent))?;
        texts.keys().find(|name| Arc::ptr_eq(models.get(name).unwrap(), model)).cloned()
    };
    for (sent, of_two, of_three) in [
        (None, Some("Json"), Some("Json")),
        (Some(""), Some("Json"), Some("Json")),
        (Some("application/json"), Some("Json"), Some("Json")),
        (Some("Application/JSON; charset=utf-8"), Some("Json"), Some("Json")),
        (Some("application/vnd.own+json"), Some("Own"), Some("Own")),
        (Some("text/plain"), None, Some("Other")),
    ] {
        let sent: Vec<_> = sent.into_iter().map(|value| ("content-type", value)).collect();
        assert_eq!(picked(&two, &sent).as_deref(), of_two, "{sent:?}");
        assert_eq!(picked(&three, &sent).as_deref(), of_three, "{sent:?}");
    }
}
